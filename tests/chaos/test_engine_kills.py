"""Engine processes that are killed while they work: nothing lost, nothing doubled, all in order."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack

import asyncpg
import pytest

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts import journey
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY, STAGE_CHANGES, TOUCHPOINTS
from clm_common.instant import DAY, SECOND, from_rfc3339
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_stage_engine.arrivals import arrive
from clm_stage_engine.core.fold import fold, order
from tests.support.engine import REACH, timeline_of
from tests.support.processes import ServiceProcess, service
from tests.support.servers import DatabaseServer, KafkaNode
from tests.support.touchpoints import touchpoint

pytestmark = pytest.mark.chaos

_ENGINE = "clm_stage_engine"

PEOPLE = 40
KILLS = 8

Record = tuple[int, JourneyMessage]
"""(partition of the topic, message)"""


@pytest.mark.timeout(420)
async def test_killed_engines_publish_every_fact_once_and_in_order(
    kafka_node: Callable[[], KafkaNode], database_server: DatabaseServer
) -> None:
    node = kafka_node()
    await node.start()
    kafka = KafkaSettings(bootstrap=node.bootstrap)
    await create_topics(kafka)
    url = await database_server.create()
    environment = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": node.bootstrap,
        "CLM_LEASE_SECONDS": "2",
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    }
    chance = random.Random(7)
    messages = clickstream(chance)

    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(service(_ENGINE, environment)) for _ in "ab"]
        sending = asyncio.create_task(_send(kafka, messages))
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.5, 2.5))
            victim = chance.randrange(len(engines))
            engines[victim].kill()
            engines[victim] = await stack.enter_async_context(service(_ENGINE, environment))
        await sending
        facts = await _all_published(kafka, url, engines)
    changes = await _read(kafka, STAGE_CHANGES.name)
    await database_server.drop(url)

    _check_touchpoints(facts, messages)
    _check_timelines(facts, messages)
    _check_order(facts)
    river = [it for _, it in facts if isinstance(it, StageChange)]
    assert sorted(map(repr, river)) == sorted(repr(it) for _, it in changes)


def clickstream(chance: random.Random) -> list[Message]:
    """Make touchpoints in order of time, some of them sent late or twice."""
    begin = SystemClock().now() - 3 * DAY
    sent: list[Message] = []
    for number in range(3_000):
        event = "Order Completed" if chance.random() < 0.1 else "Product Viewed"
        user = f"user-{chance.randrange(PEOPLE)}"
        sent.append(
            touchpoint(begin + number * SECOND, user=user, event=event, message_id=f"m{number}")
        )
    for _ in range(60):
        here = chance.randrange(len(sent))
        sent.insert(min(len(sent), here + chance.randrange(400)), sent[here])
    for _ in range(60):
        late = sent.pop(chance.randrange(len(sent)))
        sent.insert(min(len(sent), chance.randrange(len(sent))), late)
    return sent


async def _send(kafka: KafkaSettings, messages: Sequence[Message]) -> None:
    async with GroupProducer(kafka) as producer:
        for start in range(0, len(messages), 20):
            await producer.publish(messages[start : start + 20])
            await asyncio.sleep(0.08)


async def _all_published(
    kafka: KafkaSettings, url: str, engines: Sequence[ServiceProcess]
) -> list[Record]:
    """Wait until all is folded and published, and give the river."""
    db = await asyncpg.connect(url)
    try:
        async with asyncio.timeout(120):
            while True:
                await asyncio.sleep(0.5)
                assert all(engine.code is None for engine in engines)
                facts = await _read(kafka, JOURNEY.name)
                if len(facts) == await _facts_in_rows(db, await _ends(kafka)):
                    return facts
    finally:
        await db.close()


async def _ends(kafka: KafkaSettings) -> Mapping[int, int]:
    async with PartitionReader(kafka) as reader:
        return await reader.end_offsets(TOUCHPOINTS.name)


async def _facts_in_rows(db: asyncpg.Connection, ends: Mapping[int, int]) -> int | None:
    """Count the facts, once everything sent is folded."""
    rows = await db.fetch("SELECT * FROM stage_engine.consumer_partition")
    if {row["partition"]: row["next_offset"] for row in rows} != ends:
        return None
    return sum(int(row["next_seq"]) - 1 for row in rows)


async def _read(kafka: KafkaSettings, topic: str) -> list[Record]:
    async with PartitionReader(kafka) as reader:
        ends = await reader.end_offsets(topic)
        reader.assign({(topic, each): 0 for each in ends})
        found: list[Record] = []
        quiet = 0
        while quiet < 3:
            batches = await reader.read(limit=5_000, wait=0.4)
            quiet = 0 if batches else quiet + 1
            for (_, partition), records in batches.items():
                found += [(partition, journey.decode(it.value or b"")) for it in records]
    return found


def _check_touchpoints(facts: Sequence[Record], messages: Sequence[Message]) -> None:
    applied = [it.message_id for _, it in facts if isinstance(it, TouchpointApplied)]
    assert len(applied) == len(set(applied))
    assert set(applied) == {f"m{number}" for number in range(3_000)}
    assert len(messages) > len(applied)


def _check_timelines(facts: Sequence[Record], messages: Sequence[Message]) -> None:
    """Every person's published timeline is the fold of the set of their touchpoints."""
    theirs = defaultdict(list)
    for message in messages:
        arrival = arrive(_AsRead(message))
        assert arrival.user is not None
        theirs[arrival.user[2]].append(arrival)
    for user, touches in theirs.items():
        expected = fold(REACH, order(touches), until=max(it.time for it in touches))
        found = timeline_of([it for _, it in facts], profile_id("local", "user_id", user))
        assert [(from_rfc3339(it.at), it.target) for it in found] == [
            (it.at, it.target) for it in expected.changes
        ]


def _check_order(facts: Sequence[Record]) -> None:
    """In each partition of the river a profile's versions never go back."""
    newest: dict[object, int] = {}
    for _, fact in facts:
        assert fact.version >= newest.get(fact.profile_id, 0)
        newest[fact.profile_id] = fact.version


class _AsRead:
    """A message as a record, for the engine's own reader."""

    def __init__(self, message: Message) -> None:
        self.topic, self.key, self.value = message.topic, message.key, message.value
        self.headers = message.headers
        self.partition = self.offset = self.timestamp = 0
