"""Small batches of several partitions share a transaction, as requests share a flush at ingest.

A transaction costs a dozen round trips and a flush of PostgreSQL's log whatever it holds. While one
is on its way, batches that were decided meanwhile wait, and go together with the next. All of it is
written or nothing: a batch that must not be is struck out, and the others are written without it,
as they were decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

from msgspec import Struct

from clm_common.errors import RaceLost
from clm_common.runtime.handler import Batch, Connection
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Step, fence_all, lost

MOST: Final = 3_000
"""Facts that are written in one transaction, if it is not one batch alone that has more."""


class Sharing(Batch, Protocol):
    """A batch that can be written together with others."""

    @property
    def touched(self) -> AbstractSet[object] | None:
        """What it changes, or relies on; None if it has to be written by itself.

        Those that touch the same are not written together: the later one may have been decided
        upon what the earlier one changes. They are named as in `RaceLost.rows`.
        """
        ...


WriteTogether = Callable[
    [Connection, Sequence[tuple[Any, int]]], Awaitable[None]
]  # Any: the batches that the service's own handlers decided
"""Writes batches, each with its first sequence number, as `Batch.write` writes one."""


class _Waiting(Struct, eq=False):
    """A batch on its way.

    Attributes:
        claim: the ownership and where the batch begins.
        end: the offset after its last record.
        batch: what was decided.
        touched: as `Sharing.touched`; None as well where it may be its fault that others could not
            be written.
        written: becomes its first sequence number.
    """

    claim: Claim
    end: int
    batch: Sharing
    touched: AbstractSet[object] | None
    written: asyncio.Future[int]

    def succeed(self, first: int) -> None:
        """Say that it is committed, and its first sequence number."""
        if not self.written.done():
            self.written.set_result(first)

    def fail(self, error: Exception) -> None:
        """Say why it is not."""
        if not self.written.done():
            self.written.set_exception(error)


class Shared:
    """The transactions that the partitions of one worker share, one at a time."""

    def __init__(self, database: Database, lease: float, write: WriteTogether) -> None:
        """Make it.

        Args:
            database: where the fence and the service's tables are.
            lease: seconds that a fence renews it by.
            write: writes batches together.
        """
        self._database = database
        self._lease = lease
        self._write = write
        self._waiting: list[_Waiting] = []
        self._flying: asyncio.Task[None] | None = None

    async def write(self, claim: Claim, end: int, batch: Sharing) -> int:
        """Write a batch and its partition's position; on return that is committed.

        Args:
            claim: the ownership and where the batch begins; it is not changed.
            end: the offset after the batch's last record.
            batch: what was decided.

        Returns:
            Its first sequence number.

        Raises:
            OwnershipLost: somebody else has taken the partition.
            RaceLost: a row has changed since it was read.
            Unavailable: PostgreSQL is away; whether it is committed is unknown.
        """
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(claim, end, batch, batch.touched, written))
        if self._flying is None:
            self._flying = asyncio.create_task(self._fly())
        return await written

    async def close(self) -> None:
        """Give up what is on its way."""
        if self._flying is not None:
            self._flying.cancel()
            await asyncio.gather(self._flying, return_exceptions=True)

    async def _fly(self) -> None:
        """Write until nobody waits."""
        try:
            await asyncio.sleep(0)  # others that decide in this round of the loop come along
            while group := self._boarding():
                try:
                    await self._carry(group)
                except BaseException:
                    _cancel(group)
                    raise
        finally:
            self._flying = None
            _cancel(self._waiting)

    def _boarding(self) -> Sequence[_Waiting]:
        """Take those who go together, in the order of their coming."""
        waiting = [it for it in self._waiting if not it.written.done()]
        first = next((it for it in waiting if it.touched is None), None)
        if first is not None:
            self._waiting = [it for it in waiting if it is not first]
            return [first]
        taken: list[_Waiting] = []
        touched: set[object] = set()
        room = MOST
        for it in waiting:
            own = it.touched or set()
            if not taken or (it.batch.facts <= room and touched.isdisjoint(own)):
                taken.append(it)
                touched |= own
                room -= it.batch.facts
        self._waiting = [it for it in waiting if it not in taken]
        return taken

    async def _carry(self, group: Sequence[_Waiting]) -> None:
        """Write a group; who is to blame that it cannot be is told, the others wait once more."""
        try:
            firsts = await self._transact(group)
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            blamed = _blamed(group, error)
            for it in blamed:
                it.fail(lost(it.claim) if isinstance(error, _Missing) else error)
            rest = [it for it in group if it not in blamed]
            if not blamed:
                for it in rest:
                    it.touched = None
            self._waiting[:0] = rest
        else:
            for it in group:
                it.succeed(firsts[it.claim.partition])

    async def _transact(self, group: Sequence[_Waiting]) -> Mapping[int, int]:
        async with self._database.transaction() as tx:
            steps = [Step(it.claim, it.end, it.batch.facts) for it in group]
            firsts = await fence_all(tx, steps, lease=self._lease)
            if missing := [it for it in group if it.claim.partition not in firsts]:
                raise _Missing(missing)
            await self._write(tx, [(it.batch, firsts[it.claim.partition]) for it in group])
        return firsts


class _Missing(Exception):
    """The fence did not hold for some."""

    def __init__(self, missing: Collection[_Waiting]) -> None:
        super().__init__()
        self.missing = missing


def _blamed(group: Sequence[_Waiting], error: Exception) -> Collection[_Waiting]:
    """Tell whose fault an error is; nobody's, if it is somebody's of whom it does not tell."""
    if isinstance(error, _Missing):
        return error.missing
    if len(group) == 1 or not isinstance(error, RaceLost):
        return group
    rows = error.rows
    return [it for it in group if not rows.isdisjoint(it.touched or ())]


def _cancel(waiting: Collection[_Waiting]) -> None:
    for it in waiting:
        it.written.cancel()
