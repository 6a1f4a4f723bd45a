"""What a caller is told when something is refused or fails: problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

CONTENT_TYPE: Final = "application/problem+json"

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]  # Any: ASGI's own


class Fault(Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request.

    Attributes:
        detail: what is wrong and what it must be.
        pointer: where in the body, a JSON pointer as a URI fragment.
        parameter: which query, path or header parameter, where it is not in the body.
    """

    detail: str
    pointer: str | None = None
    parameter: str | None = None


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The body of an answer that is no success.

    Attributes:
        status: the HTTP status.
        slug: a stable name of the problem, for programs.
        title: the problem in a few words, the same each time.
        type: a URI reference that identifies the problem.
        detail: what is wrong this time and what to do.
        instance: identifies this occurrence, to be found in the log.
        errors: everything that is wrong, where there may be several things.
        values: what one needs to act, by name.
        code: `slug` once more, as clients of the tracking API look for it.
        message: `title` once more, likewise. Both are always written.
    """

    status: int
    slug: str
    title: str
    type: str = "about:blank"
    detail: str | None = None
    instance: str | None = None
    errors: Sequence[Fault] = ()
    values: dict[str, Any] = {}  # Any: JSON of the case at hand
    code: str | None = None
    message: str | None = None

    def body(self) -> bytes:
        """Write it as JSON."""
        told = structs.replace(
            self,
            detail=self.detail or self.title,
            code=self.code or self.slug,
            message=self.message or self.title,
        )
        return msgspec.json.encode(told, enc_hook=str)


async def send_problem(
    send: Send, problem: Problem, *, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer an ASGI request with a problem.

    Args:
        send: ASGI's.
        problem: what to say.
        headers: further headers, names in lower case.
    """
    body = problem.body()
    own = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    start = {"type": "http.response.start", "status": problem.status, "headers": [*own, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
