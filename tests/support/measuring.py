"""Metrics on a real database and a bus in memory: its worker and its board, without HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Self

from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryReader, MemoryRecord
from clm_common.clock import ManualClock
from clm_common.contracts.journey import JourneyMessage
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import from_rfc3339
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.offsets import Leases
from clm_metrics.board import Board, load_kpis
from clm_metrics.core.calendar import Zones, from_date
from clm_metrics.core.ledger import Cell
from clm_metrics.handlers import JourneyHandler, open_handler
from clm_metrics.store import SCHEMA
from tests.support.river import message

NOW = from_rfc3339("2026-11-22T12:00:00Z")
"""The instant at which the clock stands."""

_FIGURES = """
    SELECT workspace, lifecycle, measure, stage, day, sum(value)::bigint AS value FROM day_figure
    GROUP BY workspace, lifecycle, measure, stage, day HAVING sum(value) <> 0
"""

_TOTALS = """
    SELECT workspace, lifecycle, measure, stage, sum(value)::bigint AS value FROM total_figure
    GROUP BY workspace, lifecycle, measure, stage HAVING sum(value) <> 0
"""


def records(messages: Sequence[JourneyMessage]) -> list[MemoryRecord]:
    """Give messages as they are read."""
    broker = MemoryBroker()
    broker.append_all([message(each) for each in messages])
    return broker.records(JOURNEY.name)


def board(
    database: Database,
    *,
    zones: Zones | None = None,
    order: Mapping[str, tuple[str, ...]] | None = None,
    now: int = NOW,
    main: str = "reach",
) -> Board:
    """Make a board with the shipped catalogue."""
    return Board(database, ManualClock(now), load_kpis(), zones or Zones(), order or {}, main)


async def book(
    database: Database,
    messages: Sequence[JourneyMessage],
    *,
    partition: int = 0,
    zones: Zones | None = None,
) -> None:
    """Handle messages as one batch of a partition, without the fence."""
    handler = JourneyHandler(partition, zones or Zones())
    async with database.transaction() as tx:
        batch = await handler.decide(tx, records(messages))
        assert not batch.refused
        await batch.write(tx, 1)


async def figures(database: Database) -> dict[Cell, int]:
    """Give every figure per day that is not zero, added up over the partitions."""
    async with database.connection() as db:
        rows = await db.fetch(_FIGURES)
    return {
        Cell(
            row["workspace"], row["lifecycle"], row["measure"], row["stage"], from_date(row["day"])
        ): row["value"]
        for row in rows
    }


async def totals(database: Database) -> dict[tuple[str, ...], int]:
    """Give every total that is not zero, added up over the partitions."""
    async with database.connection() as db:
        return {tuple(row[:4]): row["value"] for row in await db.fetch(_TOTALS)}


def summed(per_day: Mapping[Cell, int]) -> dict[tuple[str, ...], int]:
    """Add figures up over the days."""
    found: Counter[tuple[str, ...]] = Counter()
    for cell, value in per_day.items():
        found[cell[:4]] += value
    return {key: value for key, value in found.items() if value}


class Metrics:
    """One worker of the service, and what a test asks it."""

    def __init__(
        self,
        url: str,
        broker: MemoryBroker,
        *,
        owner: str = "metrics-1",
        zones: Zones | None = None,
    ) -> None:
        self.broker = broker
        self.database = Database(url, schema=SCHEMA, name=owner)
        self.board = board(self.database, zones=zones)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._worker = Worker(
            topic=JOURNEY.name,
            reader=MemoryReader(broker),
            producer=MemoryProducer(broker),
            database=self.database,
            leases=Leases(
                self.database,
                topic=JOURNEY.name,
                partitions=JOURNEY.partitions,
                owner=owner,
                lease=4.0,
            ),
            open_handler=partial(open_handler, zones or Zones()),
            clock=ManualClock(NOW),
        )

    async def __aenter__(self) -> Self:
        await self.database.__aenter__()
        self._task = asyncio.create_task(self._worker.run(self._stop))
        return self

    async def __aexit__(self, *exit_: object) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task
        await self.database.__aexit__(None, None, None)

    async def crash(self) -> None:
        """Die without a word: no lease is given back."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def send(self, *messages: JourneyMessage) -> None:
        """Publish messages of the river."""
        await MemoryProducer(self.broker).publish([message(each) for each in messages])

    async def settled(self, within: float = 30.0) -> None:
        """Wait until everything sent is handled."""
        async with asyncio.timeout(within):
            while not await self._is_settled():
                if self._task is not None and self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def _is_settled(self) -> bool:
        records = self.broker.records(JOURNEY.name)
        ends = {each.partition: each.offset + 1 for each in records}
        async with self.database.connection() as db:
            rows = await db.fetch("SELECT partition, next_offset FROM consumer_partition")
        return {row["partition"]: row["next_offset"] for row in rows if row["next_offset"]} == ends
