"""How a batch comes into the rows: decided, fenced, written and committed, in a transaction.

In one PostgreSQL transaction the handler reads and decides, the fence proves the ownership and
moves the offset, and the handler writes. Where a service can write batches together, small ones are
decided by themselves and share the transaction that writes (`sharing`). Both are equally safe: what
was decided is held against the rows when it is written, as other transactions commit meanwhile in
either case.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Final, cast

from clm_common import telemetry
from clm_common.bus.ports import Producer, Record
from clm_common.clock import Clock
from clm_common.runtime.burial import bury
from clm_common.runtime.handler import Batch, Handler, Refusal
from clm_common.runtime.opening import Opened, as_read
from clm_common.runtime.sharing import Shared, Sharing, WriteTogether
from clm_common.store.asking import asking
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, fence

FEW: Final = 500
"""Records of a partition up to which they share a transaction with those of others."""


class Transactions:
    """One worker's transactions."""

    def __init__(
        self,
        topic: str,
        database: Database,
        producer: Producer,
        clock: Clock,
        *,
        lease: float,
        together: WriteTogether | None = None,
    ) -> None:
        """Make it.

        Args:
            topic: whose records are handled.
            database: where the fence and the service's tables are.
            producer: publishes dead letters.
            clock: stamps them.
            lease: seconds that a fence renews it by.
            together: writes batches of several partitions, where the handlers' can be (`Sharing`).
        """
        self._topic = topic
        self._database = database
        self._producer = producer
        self._clock = clock
        self._lease = lease
        self._shared = None if together is None else Shared(database, lease, together)

    async def settle(
        self, claim: Claim, handler: Handler, records: Sequence[Record], opened: Opened
    ) -> Batch | None:
        """Have a handler decide and write, and move the claim.

        Args:
            claim: the ownership and where the records begin.
            handler: the partition's.
            records: what was read; none to have what fell due looked at.
            opened: what they say.

        Returns:
            What is committed; None if there was nothing to decide about.

        Raises:
            OwnershipLost: somebody else has taken the partition.
            RaceLost: a row has changed since it was read.
            Unavailable: PostgreSQL, or what the handler needs, is away.
        """
        began = perf_counter()
        end = records[-1].offset + 1 if records else claim.next_offset
        if self._shared is not None and 0 < len(records) <= FEW:
            written = await self._share(self._shared, claim, handler, opened, end)
        else:
            written = await self._write(claim, handler, opened if records else None, end)
        if written is None:
            return None
        batch, first = written
        claim.next_offset = end
        claim.next_seq = first + batch.facts
        telemetry.WORKER_RECORDS.labels(self._topic).inc(len(records))
        telemetry.WORKER_BATCH_SECONDS.labels(self._topic).observe(perf_counter() - began)
        return batch

    async def close(self) -> None:
        """Give up what is on its way."""
        if self._shared is not None:
            await self._shared.close()

    async def _share(
        self, shared: Shared, claim: Claim, handler: Handler, opened: Opened, end: int
    ) -> tuple[Batch, int] | None:
        """Decide about records, then write together with whoever else has decided."""
        async with asking(self._database) as tx:
            batch = await handler.decide(tx, opened.records)
        await self._bury(batch, opened.refused)
        return batch, await shared.write(claim, end, cast("Sharing", batch))

    async def _write(
        self, claim: Claim, handler: Handler, opened: Opened | None, end: int
    ) -> tuple[Batch, int] | None:
        """Decide about records, or about what fell due, and write it, in one transaction."""
        async with self._database.transaction() as tx:
            decide = handler.wake(tx) if opened is None else handler.decide(tx, opened.records)
            batch = await decide
            if batch is None:
                return None
            await self._bury(batch, opened.refused if opened else ())
            first = await fence(tx, claim, end=end, facts=batch.facts, lease=self._lease)
            await batch.write(tx, first)
        return batch, first

    async def _bury(self, batch: Batch, unreadable: Sequence[Refusal]) -> None:
        """Put what can never be processed into the dead letters."""
        refused = [*unreadable, *as_read(batch.refused)]
        await bury(self._producer, refused, now=self._clock.now())
