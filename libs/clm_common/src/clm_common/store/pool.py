"""A pool of connections to PostgreSQL: opened when they are needed, lent to one borrower at a time.

What is lent is the driver's connection itself. The one that came back last goes out first; one that
died while it lay here is passed over without a round trip: the driver knows that its socket is
closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from clm_common.errors import Unavailable
from clm_common.store.faults import translate

_Connection = Any  # Any: asyncpg publishes no types

_CLOSE: Final = 2.0


class Pool:
    """The connections of one process to one schema; whoever made it closes it."""

    def __init__(
        self, connect: Callable[[], Awaitable[_Connection]], *, size: int, patience: float
    ) -> None:
        """Open nothing yet.

        Args:
            connect: opens a connection.
            size: connections at most.
            patience: seconds that a borrower waits for one when all of them are lent.
        """
        self._connect = connect
        self._patience = patience
        self._turns = asyncio.Semaphore(size)
        self._idle: list[_Connection] = []
        self._closed = False

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[_Connection]:
        """Lend a connection for a block.

        One that came to grief there (dead, stuck in a transaction, silent) is not lent again.

        Raises:
            Unavailable: all of them stayed lent.
        """
        await self._turn()
        try:
            raw = self._newest() or await self._connect()
            try:
                yield raw
            except BaseException as error:
                if _is_broken(raw, error):
                    raw.terminate()
                raise
            finally:
                self._take_back(raw)
        finally:
            self._turns.release()

    async def close(self) -> None:
        """Close what lies here; what is lent out is ended when it comes back."""
        self._closed = True
        ends = [raw.close(timeout=_CLOSE) for raw in self._idle]
        self._idle.clear()
        await asyncio.gather(*ends, return_exceptions=True)  # where that fails the driver aborts

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError:
            raise Unavailable(
                "database.pool_exhausted", "all connections to PostgreSQL are in use"
            ) from None

    def _newest(self) -> _Connection | None:
        """Give the newest connection that still lives, if there is one."""
        while self._idle:
            if not (raw := self._idle.pop()).is_closed():
                return raw
            raw.terminate()
        return None

    def _take_back(self, raw: _Connection) -> None:
        if self._closed or raw.is_closed():
            raw.terminate()
        else:
            self._idle.append(raw)


def _is_broken(raw: _Connection, error: BaseException) -> bool:
    """Tell whether a connection must not be lent again."""
    return raw.is_closed() or raw.is_in_transaction() or isinstance(translate(error), Unavailable)
