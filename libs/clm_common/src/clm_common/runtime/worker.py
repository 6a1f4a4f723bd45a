"""The worker: has the batches of the partitions it holds decided and written, once each.

Partitions are held by leases (`store.offsets`), read from the offset in PostgreSQL on, and given
back between batches. Each batch is decided by its partition's handler and written in a transaction
that moves the offset (`transactions`). A partition whose batch takes long does not keep the others
waiting (`turns`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from itertools import count
from typing import Final

import structlog
from msgspec import Struct

from clm_common import telemetry
from clm_common.bus.ports import Producer, Reader, Record
from clm_common.clock import Clock
from clm_common.errors import OwnershipLost, RaceLost, Unavailable
from clm_common.runtime import collector, pace
from clm_common.runtime.handler import Handler, OpenHandler
from clm_common.runtime.lag import watch_lag
from clm_common.runtime.opening import Opened, Opener
from clm_common.runtime.retry import Backoff, pause
from clm_common.runtime.sharing import WriteTogether
from clm_common.runtime.transactions import Transactions
from clm_common.runtime.turns import Turns
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Leases

log = structlog.get_logger()

WAIT: Final = 0.2
"""Seconds a read waits for records."""

WAKE: Final = 0.5
"""Seconds between two looks at what fell due without a record, while nothing does."""

AT_ONCE: Final = float("-inf")
"""The value of `Owned.woken` with which the next turn looks again."""

STUBBORN: Final = 2
"""Races lost about what has no name after which a handler forgets everything at the next."""

PAUSE: Final = 0.02
"""Seconds; the wait after a lost race grows by at most this much each time, with jitter."""

SIDE_BY_SIDE: Final = 8
"""Partitions that have a transaction open at the same time."""


class Owned(Struct):
    """A partition this worker holds.

    Attributes:
        claim: the ownership and the position, as the fence knows them.
        handler: the service's handler of this partition.
        leaving: it is to be given back between two batches.
        woken: when it last looked at what fell due, in seconds of the loop's clock.
    """

    claim: Claim
    handler: Handler
    leaving: bool = False
    woken: float = AT_ONCE


class Worker:
    """One process's share of a topic."""

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        *,
        topic: str,
        reader: Reader,
        producer: Producer,
        database: Database,
        leases: Leases,
        open_handler: OpenHandler,
        clock: Clock,
        opener: Opener | None = None,
        together: WriteTogether | None = None,
    ) -> None:
        """Make a worker.

        Args:
            topic: the topic it reads.
            reader: reads what it is assigned.
            producer: publishes dead letters.
            database: where the fence and the service's tables are.
            leases: who owns which partition.
            open_handler: makes the handler of a partition that was just taken.
            clock: stamps dead letters.
            opener: opens what is sealed, where the topic may hold such records.
            together: writes batches of several partitions, where the handlers' can be (`Sharing`).
        """
        self._topic = topic
        self._reader = reader
        self._leases = leases
        self._open = open_handler
        self._opener = opener
        self._transactions = Transactions(
            topic, database, producer, clock, lease=leases.lease, together=together
        )
        self._owned: dict[int, Owned] = {}
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions it holds now."""
        return tuple(sorted(self._owned))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then hand everything over.

        Raises:
            ClmError: something that waiting cannot mend; the process should end.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat(stop), name="leases")
                watching = watch_lag(self._topic, self._reader, self._offsets, stop)
                tasks.create_task(watching, name="lag")
                await self._work(stop)
        finally:
            await self._transactions.close()
        await self._leave()

    async def _beat(self, stop: asyncio.Event) -> None:
        """Keep the leases, four times in their duration, whatever the batches do."""
        backoff = Backoff("worker.leases", topic=self._topic)
        while not stop.is_set():
            try:
                beat = await self._leases.beat()
                for partition in beat.lost:
                    self._release(partition)
                for claim in beat.taken:
                    await self._take(claim)
                for partition in beat.surplus:
                    if owned := self._owned.get(partition):
                        owned.leaving = True
                backoff.succeeded()
            except Unavailable as error:
                await backoff.wait(error)
            await pause(stop, self._leases.interval)

    async def _take(self, claim: Claim) -> None:
        self._release(claim.partition)
        handler = await self._open(claim)
        self._owned[claim.partition] = Owned(claim, handler)
        self._assign()
        log.info("partition.taken", partition=claim.partition, offset=claim.next_offset)

    def _release(self, partition: int) -> asyncio.Task[None] | None:
        """Stop working on a partition; its handler closes in a task of its own.

        Nothing of it can be written any more: either the fence says no, or it is given back after
        the task is done.
        """
        owned = self._owned.pop(partition, None)
        if owned is None:
            return None
        self._assign()
        log.info("partition.released", partition=partition, offset=owned.claim.next_offset)
        closing = asyncio.create_task(owned.handler.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        return closing

    async def _give_back(self, partition: int) -> None:
        """Let the handler drain, then let the next owner in."""
        if closing := self._release(partition):
            await closing
        await self._leases.give_back(partition)

    def _assign(self) -> None:
        telemetry.PARTITIONS_OWNED.labels(self._topic).set(len(self._owned))
        self._reader.assign({(self._topic, each): at for each, at in self._offsets().items()})

    def _offsets(self) -> dict[int, int]:
        """Give the offset of the next record to handle of every partition it holds."""
        return {each: owned.claim.next_offset for each, owned in self._owned.items()}

    async def _work(self, stop: asyncio.Event) -> None:
        backoff = Backoff("worker", topic=self._topic)
        limit = pace.MOST
        async with Turns() as turns:
            while not stop.is_set():
                try:
                    with collector.undisturbed():
                        limit = await self._turn(turns, limit)
                    backoff.succeeded()
                except Unavailable as error:
                    limit = pace.shrunk(limit)
                    await backoff.wait(error)
            await turns.over()

    async def _turn(self, turns: Turns, limit: int) -> int:
        """Read, and handle every free partition on its own, side by side; give the next limit."""
        busy = turns.busy
        free = [it for it in self._owned.values() if it.claim.partition not in busy]
        hurried = any(it.woken == AT_ONCE for it in free)
        but = [(self._topic, each) for each in busy]
        found = await self._reader.read(limit=limit, wait=0 if hurried else WAIT, but=but)
        for each, owned in self._owned.items():
            if each not in busy:
                turns.begin(each, self._serve(owned, found.get((self._topic, each), [])))
        return pace.paced(limit, await turns.met(), sum(map(len, found.values())))

    async def _serve(self, owned: Owned, records: Sequence[Record]) -> None:
        """Handle one partition's records, then what fell due, then give it back if asked to."""
        partition = owned.claim.partition
        try:
            async with self._turns:
                if records:
                    await self._settle(owned, records)
                if self._time_to_wake(owned) and await self._settle(owned, ()):
                    owned.woken = AT_ONCE  # more may be due than one batch holds
        except OwnershipLost as error:
            log.warning("partition.lost", partition=partition, reason=error.slug)
            if self._owned.get(partition) is owned:
                self._leases.forget(partition)
                self._release(partition)
        except Unavailable:
            owned.handler.forget()
            self._rewind(owned)
            raise
        if owned.leaving and self._owned.get(partition) is owned:
            await self._give_back(partition)

    def _time_to_wake(self, owned: Owned) -> bool:
        now = asyncio.get_running_loop().time()
        if now - owned.woken < WAKE:
            return False
        owned.woken = now
        return True

    def _rewind(self, owned: Owned) -> None:
        """Read again from the position: what was read and not committed must not be skipped."""
        if self._owned.get(owned.claim.partition) is owned:
            self._reader.seek(self._topic, owned.claim.partition, owned.claim.next_offset)

    async def _settle(self, owned: Owned, records: Sequence[Record]) -> bool:
        """Decide, fence, write and commit; again from the start when a race is lost.

        Tells whether there was something to decide about.

        A batch drops what it relied on when it loses a race, and its handler may keep what stands
        for the next try, which is given the same records. One that loses again and again and
        cannot name what has changed has been decided upon something else that is outdated: then
        all that is remembered goes.
        """
        opened = await self._opener(records) if self._opener and records else Opened(records)
        batch, unnamed = None, 0
        for attempt in count():
            try:
                batch = await self._transactions.settle(owned.claim, owned.handler, records, opened)
                break
            except RaceLost as error:
                telemetry.RACES.labels(self._topic).inc()
                log.info("batch.race", partition=owned.claim.partition, reason=error.slug)
                unnamed += not error.rows
                if unnamed > STUBBORN:
                    owned.handler.forget()
                await asyncio.sleep(random.uniform(0, PAUSE * min(attempt, 10)))  # noqa: S311 - jitter keeps no secret
        if batch is not None:
            batch.committed()
        return batch is not None

    async def _leave(self) -> None:
        """Give every partition back at once, after their handlers have drained side by side."""
        for partition in self.partitions:
            self._release(partition)
        await asyncio.gather(*self._closing)
        try:
            await self._leases.leave()
        except Unavailable as error:
            log.warning("worker.leave_failed", reason=error.slug)
