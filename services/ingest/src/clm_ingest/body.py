"""Reads request bodies within bounds: of size, of time, and of memory over all requests."""

import asyncio
from types import TracebackType
from typing import Self

from starlette.types import Receive

from clm_common.errors import Rejected, Unavailable


class ClientGone(Exception):
    """The sender hung up before its request was complete."""


class Budget:
    """Bytes of bodies that may be in memory at once, over all requests."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def hold(self) -> "Hold":
        """Give a request's share, empty at first; leaving its block gives everything back."""
        return Hold(self)

    def take(self, size: int) -> None:
        """Take bytes, or raise `Unavailable` when too much is held already."""
        if self.held + size > self._limit:
            raise Unavailable("ingest.busy", "too many bytes of requests are in memory")
        self.held += size


class Hold:
    """What one request holds of the budget."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def take(self, size: int) -> None:
        """Take more, or raise `Unavailable`."""
        self._budget.take(size)
        self._size += size

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give everything back."""
        self._budget.held -= self._size


async def read(receive: Receive, *, limit: int, seconds: float | None, hold: Hold) -> bytes:
    """Read a body as it was sent.

    Args:
        receive: ASGI's.
        limit: bytes it may have.
        seconds: how long it may take to arrive; None if it has: to watch a clock costs a small
            request more than to read its body.
        hold: what it takes of the budget.

    Raises:
        Rejected: 413 as soon as it is too large, 408 if it is too slow.
        Unavailable: too much is in memory.
        ClientGone: the sender hung up.
    """
    if seconds is None:
        return await _read(receive, limit, hold)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, limit, hold)
    except TimeoutError:
        detail = f"the body did not arrive within {seconds:g} seconds"
        raise Rejected(408, "body.too_slow", detail) from None


async def _read(receive: Receive, limit: int, hold: Hold) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = event.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit)
        hold.take(len(chunk))
        chunks.append(chunk)
        if not event.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def too_large(limit: int) -> Rejected:
    """Refuse a body that has more bytes than allowed."""
    return Rejected(413, "body.too_large", f"a body may have {limit:,} bytes, inflated")
