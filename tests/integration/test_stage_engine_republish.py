"""The river copied out of the rows on real servers, and a subscriber filled from the copy."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts import journey
from clm_common.contracts.journey import IdentityMoved, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS, Topic
from clm_common.instant import DAY, HOUR
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_common.store.offsets import Leases
from clm_metrics.core.calendar import Zones
from clm_metrics.handlers import open_handler
from clm_metrics.store import SCHEMA
from clm_stage_engine.outbox import Facts
from tests.support.measuring import figures, totals
from tests.support.processes import service
from tests.support.servers import DatabaseServer, KafkaNode
from tests.support.touchpoints import touchpoint

COPY = Topic("shop.journey-copy", JOURNEY.partitions, JOURNEY.retention_ms, "a copy")

Records = dict[int, list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]]
"""Per partition: key, value and headers, in order."""

_STAND = """
    SELECT sum(next_offset)::int AS offsets, sum(next_seq - 1)::int AS seqs,
        (SELECT count(*) FROM profile WHERE wake_at <= now()) AS due
    FROM consumer_partition WHERE topic = $1
"""


def clickstream(chance: random.Random, count: int, prefix: str) -> list[Message]:
    """Let visitors become customers, buy and share devices, in no order."""
    now = SystemClock().now()
    found: list[Message] = []
    for number in range(count):
        device, customer = f"d{chance.randrange(count)}", f"u{chance.randrange(count // 2)}"
        at = now - chance.randrange(2, 20) * DAY  # nothing falls due meanwhile
        step = chance.randrange(3)
        found.append(
            touchpoint(
                at + HOUR * (step == 1),
                anonymous=None if step == 2 else device,
                user=None if step == 0 else customer,
                kind=("page", "identify", "track")[step],
                event="Order Completed" if step == 2 else None,
                message_id=f"{prefix}{number}",
                workspace=chance.choice(["acme", "zeta"]),
            )
        )
    return found


class Shop:
    """An engine that runs on servers of its own, and what is asked of them."""

    def __init__(self, bootstrap: str, url: str) -> None:
        self.kafka = KafkaSettings(bootstrap=bootstrap)
        self.url = url
        self.engine = Database(url, schema="stage_engine", name="test")
        self.environment = {
            "CLM_DATABASE_URL": url,
            "CLM_KAFKA_BOOTSTRAP": bootstrap,
            "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
        }

    async def send(self, messages: list[Message]) -> None:
        async with GroupProducer(self.kafka) as producer:
            await producer.publish(messages)

    async def settled(self, sent: int) -> Records:
        """Wait until so many touchpoints are folded what is due fired; give the river."""
        async with asyncio.timeout(90), self.engine.connection() as db:
            while True:
                row = await db.fetchrow(_STAND, TOUCHPOINTS.name)
                if row["offsets"] != sent or row["due"]:
                    await asyncio.sleep(0.1)
                    continue
                live = await self.read(JOURNEY.name)
                if row["seqs"] == sum(map(len, live.values())):
                    return live

    async def read(self, topic: str) -> Records:
        """Read a topic from its beginning until nothing more comes."""
        found: Records = defaultdict(list)
        async with PartitionReader(self.kafka) as reader:
            reader.assign({(topic, it): 0 for it in range(JOURNEY.partitions)})
            while records := await reader.read(limit=5_000, wait=1.0):
                for (_, partition), batch in records.items():
                    found[partition] += [
                        (it.key or b"", it.value or b"", tuple(it.headers)) for it in batch
                    ]
        return found

    async def republish(self, *arguments: str) -> tuple[int, Any, str]:  # Any: what it prints
        """Run the program; gives its exit code, its result and what it told."""
        inherited = {name: text for name, text in os.environ.items() if name[:4] != "CLM_"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "clm_stage_engine.republish", "--to", COPY.name, *arguments),
            env=inherited | self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, told = await process.communicate()
        return process.returncode or 0, json.loads(out or b"null"), told.decode()


@pytest.fixture
async def shop(
    kafka_node: Callable[[], KafkaNode], database_server: DatabaseServer
) -> AsyncGenerator[Shop]:
    node = kafka_node()
    await node.start()
    url = await database_server.create()
    running = Shop(node.bootstrap, url)
    await create_topics(running.kafka)
    async with running.engine, service("clm_stage_engine", running.environment):
        await _migrated(running.engine)
        yield running
    await database_server.drop(url)


async def _migrated(engine: Database) -> None:
    async with asyncio.timeout(60), engine.connection() as db:
        while not await db.fetchval("SELECT to_regclass('stage_engine.profile')"):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.1)


@asynccontextmanager
async def counting(
    url: str, kafka: KafkaSettings, topic: str, offsets: Mapping[int, int] | None = None
) -> AsyncGenerator[Database]:
    """Count what stands on a topic, from the offsets on; when entered, all of it is counted."""
    stop = asyncio.Event()
    async with (
        Database(url, schema=SCHEMA, name="metrics-test") as database,
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
            leases=Leases(database, topic=topic, partitions=6, owner="metrics-test", lease=4.0),
            open_handler=partial(open_handler, Zones()),
            clock=SystemClock(),
        )
        running = asyncio.create_task(worker.run(stop))
        await _counted(kafka, database, topic)
        yield database
        stop.set()
        await running


async def _counted(kafka: KafkaSettings, database: Database, topic: str) -> None:
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


def of_workspace(records: Records, workspace: str) -> list[tuple[bytes, bytes]]:
    return sorted(
        (key, value)
        for batch in records.values()
        for key, value, _ in batch
        if journey.decode(value).workspace == workspace
    )


async def test_a_copy_holds_the_bytes_of_the_live_river_partition_by_partition(shop: Shop) -> None:
    touches = clickstream(random.Random(5), 300, "a")
    await shop.send(touches)
    live = await shop.settled(300)

    code, result, told = await shop.republish()
    copied = await shop.read(COPY.name)

    assert code == 0, told
    assert "facts" in told
    kinds = {type(journey.decode(value)) for batch in live.values() for _, value, _ in batch}
    assert kinds == {TouchpointApplied, StageChange, IdentityMoved}
    assert result["facts"] == sum(map(len, live.values()))
    assert {part: sorted(batch) for part, batch in copied.items()} == {
        part: sorted(batch) for part, batch in live.items()
    }
    for lane in range(TOUCHPOINTS.partitions):
        _, messages = await Facts(shop.engine, TOUCHPOINTS.name, lane)(0, 100_000)
        own = {(it.key, it.value) for it in messages}
        for part in live:
            assert [it for it in copied[part] if it[:2] in own] == [
                it for it in live[part] if it[:2] in own
            ]


async def test_a_metrics_service_filled_from_a_copy_and_switched_over_counts_as_the_live_one(
    shop: Shop, database_server: DatabaseServer
) -> None:
    chance = random.Random(6)
    await shop.send(clickstream(chance, 200, "a"))
    await shop.settled(200)
    await shop.send(clickstream(chance, 200, "b"))  # flows while the copy is made
    code, result, told = await shop.republish()
    assert code == 0, told
    await shop.send(clickstream(chance, 200, "c"))
    await shop.settled(600)
    urls = [await database_server.create() for _ in "ab"]
    for url in urls:
        await migrate(url, package="clm_metrics", schema=SCHEMA)

    switch = {int(part): at for part, at in result["switch_over"][JOURNEY.name].items()}
    async with counting(urls[1], shop.kafka, COPY.name) as database:
        behind = await totals(database)
    async with (
        counting(urls[0], shop.kafka, JOURNEY.name) as live,
        counting(urls[1], shop.kafka, JOURNEY.name, switch) as filled,
    ):
        wanted, found = await figures(live), await figures(filled)
        everything, together = await totals(live), await totals(filled)

    for url in urls:
        await database_server.drop(url)
    assert set(switch) == set(range(JOURNEY.partitions))
    assert behind != everything
    assert found == wanted
    assert together == everything


async def test_a_copy_is_gone_on_with_and_never_made_where_something_is(shop: Shop) -> None:
    chance = random.Random(7)
    await shop.send(clickstream(chance, 100, "a"))
    await shop.settled(100)

    nothing_begun = await shop.republish("--workspace", "acme", "--resume")
    first = await shop.republish("--workspace", "acme")
    again = await shop.republish("--workspace", "acme")
    another = await shop.republish()
    live_itself = await shop.republish("--to", JOURNEY.name)
    await shop.send(clickstream(chance, 100, "b"))
    live = await shop.settled(200)
    resumed = await shop.republish("--workspace", "acme", "--resume")

    assert (nothing_begun[0], first[0], again[0], another[0]) == (78, 0, 78, 78)
    assert "--resume" in again[2]
    assert "not empty" in another[2]
    assert live_itself[0] == 2
    assert resumed[0] == 0
    copied = await shop.read(COPY.name)
    assert of_workspace(copied, "acme") == of_workspace(live, "acme")
    assert of_workspace(copied, "zeta") == []
