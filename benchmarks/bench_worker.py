"""The stage-engine's worker with everything on, against a bare `getmany` loop on the same topic.

Everything on: decode, identities, fold of the `reach` lifecycle, fence, history, stage changes,
profiles with version check, river and public changes in a Kafka transaction. Both sides run in this
process, alternating, after a round of each that does not count; what counts is events per second of
its CPU (Kafka and PostgreSQL have their own processes). The bare loop reads the topic several times
a round, or its share of a second would be noise. Target: at least 0.15.
Not always reached: 0.093 to 0.157, on different days of the same two shared cores.
Run: `python -m benchmarks.bench_worker [EVENTS] [PEOPLE]`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.support import Servers, servers, verdict
from clm_common import telemetry
from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.kafka.publisher import TransactionalPublisher
from clm_common.bus.ports import Message, Publisher
from clm_common.clock import SystemClock
from clm_common.contracts.topics import ALL, PARTITIONS, TOUCHPOINTS, Topic
from clm_common.instant import HOUR, SECOND
from clm_common.runtime import collector
from clm_common.runtime.relay import Relay
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_common.store.offsets import Claim, Leases
from clm_stage_engine import definitions, identity_file
from clm_stage_engine.batch import write_together
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.erased import Erased
from clm_stage_engine.governing import Board
from clm_stage_engine.handlers import TouchpointHandler
from clm_stage_engine.outbox import Facts
from clm_stage_engine.running import choose
from clm_stage_engine.store import SCHEMA
from clm_stage_engine.store.months import Months
from tests.support.touchpoints import touchpoint

PEOPLE: Final = 20_000
TARGET: Final = 0.15
ROUNDS: Final = 5
PASSES: Final = 8
EVENTS: Final = ("Product Viewed", "Products Searched", "Cart Viewed", "Product Added")


def clickstream(count: int, people: int) -> list[Message]:
    """Make touchpoints of some 330 bytes: mostly browsing, now and then a sign-up or an order."""
    chance = random.Random(1)
    begin = SystemClock().now() - 24 * HOUR
    padding = "x" * 150
    return [
        touchpoint(
            begin + number * SECOND // 10,
            user=f"person-{chance.randrange(people)}",
            kind="identify" if number % 50 == 0 else "track",
            event="Order Completed" if number % 40 == 1 else chance.choice(EVENTS),
            message_id=f"bench-{number:032d}",
            url=padding,
        )
        for number in range(count)
    ]


async def bare(kafka: KafkaSettings, count: int) -> float:
    """Read everything `PASSES` times with a bare getmany loop; give events per CPU-second."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False)
    await consumer.start()
    places = [TopicPartition(TOUCHPOINTS.name, each) for each in range(PARTITIONS)]
    consumer.assign(places)
    began = time.process_time()
    for _ in range(PASSES):
        await consumer.seek_to_beginning(*places)
        seen = 0
        while seen < count:
            found = await consumer.getmany(timeout_ms=200, max_records=3000)
            seen += sum(len(records) for records in found.values())
    spent = time.process_time() - began
    await consumer.stop()
    return PASSES * count / spent


async def worker(
    around: Servers, kafka: KafkaSettings, count: int, people: int
) -> tuple[float, float]:
    """Fold everything into an empty database; give events per CPU-second and per second."""
    url = await around.database()
    await migrate(url, package="clm_stage_engine", schema=SCHEMA)
    positions = Topic(f"bench.published-{time.time_ns()}", PARTITIONS, -1, "", compacted=True)
    await create_topics(kafka, [positions])
    relays: list[Relay] = []
    database = Database(url, schema=SCHEMA, name="bench", seconds=30)
    board = Board(choose([definitions.SHIPPED], "reach"))
    months = Months(database, SystemClock())

    async def open_handler(claim: Claim) -> TouchpointHandler:
        async def publisher() -> Publisher:
            return TransactionalPublisher(
                kafka, service="bench", partition=claim.partition, positions=positions.name
            )

        relays.append(
            Relay(claim.partition, publisher, Facts(database, claim.topic, claim.partition))
        )
        return TouchpointHandler(
            claim,
            database=database,
            board=board,
            channels=shipped(),
            identifiers=identity_file.shipped(),
            partitions=PARTITIONS,
            relay=relays[-1],
            clock=SystemClock(),
            months=months,
            erased=Erased(),
            cached_profiles=people,
        )

    async with database, GroupProducer(kafka) as producer, PartitionReader(kafka) as reader:
        running = Worker(
            topic=TOUCHPOINTS.name,
            reader=reader,
            producer=producer,
            database=database,
            leases=Leases(
                database,
                topic=TOUCHPOINTS.name,
                partitions=PARTITIONS,
                owner="bench",
                lease=10.0,
            ),
            open_handler=open_handler,
            clock=SystemClock(),
            together=write_together,
        )
        stop = asyncio.Event()
        cpu, wall = time.process_time(), time.perf_counter()
        task = asyncio.create_task(running.run(stop))
        await _until(count, relays, task)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        stop.set()
        await task
        rows = await _count(database)
    if rows != count:
        raise SystemExit(f"{count} touchpoints were sent, {rows} are in the history")
    return count / cpu, count / wall


async def _until(count: int, relays: Sequence[Relay], task: asyncio.Task[None]) -> None:
    """Wait until everything is folded and published."""
    counted = telemetry.TOUCHPOINTS.labels("applied")
    before: float = counted._value.get()  # noqa: SLF001 - the client has no public way to read
    while counted._value.get() - before < count or any(it.pending for it in relays):  # noqa: SLF001
        if task.done():
            task.result()
        await asyncio.sleep(0.05)


async def _count(database: Database) -> int:
    async with database.connection() as db:
        return int(await db.fetchval("SELECT count(*) FROM history"))


async def main(count: int, people: int) -> int:
    """Alternate both sides and print the ratio of medians; gives 1 if the target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with servers() as around:
        kafka = KafkaSettings(bootstrap=around.kafka)
        await create_topics(kafka, ALL)
        async with GroupProducer(kafka) as producer:
            stream = clickstream(count, people)
            for start in range(0, count, 5_000):
                await producer.publish(stream[start : start + 5_000])
        del stream
        collector.calm()  # as a service does once it is prepared
        bares: list[float] = []
        ours: list[float] = []
        await bare(kafka, count)
        await worker(around, kafka, count, people)
        for _ in range(ROUNDS):
            bares.append(await bare(kafka, count))
            per_cpu, per_second = await worker(around, kafka, count, people)
            ours.append(per_cpu)
            print(
                f"getmany {bares[-1]:,.0f}/CPU-s   worker {per_cpu:,.0f}/CPU-s, "
                f"{per_second:,.0f}/s wall   ratio {per_cpu / bares[-1]:.3f}"
            )
        ratio = statistics.median(ours) / statistics.median(bares)
    return 0 if verdict("worker with everything on, part of bare getmany", ratio, TARGET) else 1


if __name__ == "__main__":
    events, customers = (*map(int, sys.argv[1:]), *(300_000, PEOPLE)[len(sys.argv) - 1 :])
    sys.exit(uvloop.run(main(events, customers)))
