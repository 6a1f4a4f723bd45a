"""A service's worker on real servers, without the rest of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.clock import SystemClock
from clm_common.contracts.topics import JOURNEY
from clm_common.runtime.handler import OpenHandler
from clm_common.runtime.opening import Opener
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.offsets import Leases


@asynccontextmanager
async def consuming(  # noqa: PLR0913 - what a test may want to differ
    schema: str,
    opened: OpenHandler,
    url: str,
    kafka: KafkaSettings,
    topic: str,
    offsets: Mapping[int, int] | None = None,
    *,
    opener: Opener | None = None,
) -> AsyncGenerator[Database]:
    """Consume what stands on a topic; when entered, all of it is handled.

    Args:
        schema: the service's.
        opened: opens its handlers.
        url: its database, migrated.
        kafka: where the topic is.
        topic: its name; it has as many partitions as the river.
        offsets: where to begin; by default where the database says.
        opener: opens what is sealed.
    """
    stop = asyncio.Event()
    async with (
        Database(url, schema=schema, name="test-consumer") as database,
        PartitionReader(kafka) as reader,
        GroupProducer(kafka) as producer,
    ):
        async with database.connection() as db:
            for partition, offset in (offsets or {}).items():
                await db.execute(
                    "INSERT INTO consumer_partition (topic, partition, next_offset) "
                    "VALUES ($1, $2, $3)",
                    topic,
                    partition,
                    offset,
                )
        worker = Worker(
            topic=topic,
            reader=reader,
            producer=producer,
            database=database,
            leases=Leases(database, topic=topic, partitions=6, owner="test-consumer", lease=4.0),
            open_handler=opened,
            clock=SystemClock(),
            opener=opener,
        )
        running = asyncio.create_task(worker.run(stop))
        await _handled(kafka, database, topic)
        yield database
        stop.set()
        await running


async def _handled(kafka: KafkaSettings, database: Database, topic: str) -> None:
    """Wait until every record is handled; markers of transactions may follow the last one."""
    wanted: dict[int, int] = {}
    async with PartitionReader(kafka) as reader:
        reader.assign({(topic, it): 0 for it in range(JOURNEY.partitions)})
        while records := await reader.read(limit=5_000, wait=1.0):
            wanted |= {part: batch[-1].offset + 1 for (_, part), batch in records.items()}
    ask = "SELECT partition, next_offset FROM consumer_partition WHERE topic = $1"
    async with asyncio.timeout(60), database.connection() as db:
        while True:
            reached = {it["partition"]: it["next_offset"] for it in await db.fetch(ask, topic)}
            if all(reached.get(part, 0) >= offset for part, offset in wanted.items()):
                return
            await asyncio.sleep(0.1)
