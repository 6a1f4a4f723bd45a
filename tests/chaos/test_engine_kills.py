"""Engines, the broker and the database are killed under load: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

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
from clm_common.contracts.topics import (
    JOURNEY,
    PARTITIONS,
    STAGE_CHANGES,
    TOUCHPOINTS,
    partition_of,
)
from clm_common.errors import Unavailable
from clm_common.instant import DAY, SECOND, from_rfc3339
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_stage_engine.arrivals import Arrival, arrive
from clm_stage_engine.core.fold import fold, order
from tests.support.engine import REACH, timeline_of
from tests.support.processes import ServiceProcess, service
from tests.support.servers import KafkaNode, PostgresNode
from tests.support.touchpoints import touchpoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

PEOPLE = 60
VICTIMS = ("engine", "engine", "broker", "engine", "engine", "database")
"""Who is killed, in turn."""

BETWEEN = (1.0, 2.5)
"""Seconds between two kills: about a lease, so that most who are killed have partitions."""

KILLS = int(os.environ.get("CLM_TEST_KILLS", "12"))
"""Of each test, with two engines and with three; 26 is what is run before a release."""

Record = tuple[int, JourneyMessage]
"""(partition of the topic, message)"""


@pytest.mark.parametrize("engines", [2, 3])
async def test_what_is_killed_in_turn_costs_no_fact_and_doubles_none(
    kafka_node: Callable[[], KafkaNode], postgres_node: Callable[[], PostgresNode], engines: int
) -> None:
    async with AsyncExitStack() as stack:
        world = await _start(stack, kafka_node(), postgres_node(), engines)
        stop = asyncio.Event()
        sending = asyncio.create_task(_send(world.kafka, stop))
        chance = random.Random(engines)
        for victim in itertools.islice(itertools.cycle(VICTIMS), KILLS):
            await asyncio.sleep(chance.uniform(*BETWEEN))
            await world.kill(victim, chance)
        stop.set()
        messages = await sending
        facts = await world.all_published()
        rows = await world.rows()
        public = await _read(world.kafka, STAGE_CHANGES.name)

    theirs = _people(messages)
    assert len(theirs) == PEOPLE
    _check_touchpoints(facts, rows, theirs)
    _check_timelines(facts, rows, theirs)
    _check_order(facts, messages)
    river = [it for _, it in facts if isinstance(it, StageChange)]
    assert Counter(map(repr, river)) == Counter(repr(it) for _, it in public)


class _World:
    """The servers and the engines, and who is killed."""

    def __init__(
        self,
        stack: AsyncExitStack,
        broker: KafkaNode,
        database: PostgresNode,
        environment: Mapping[str, str],
    ) -> None:
        self.kafka = KafkaSettings(bootstrap=broker.bootstrap)
        self.engines: list[ServiceProcess] = []
        self._stack, self._environment = stack, environment
        self._servers = {"broker": broker, "database": database}

    async def start_engine(self) -> ServiceProcess:
        """Start one more process."""
        return await self._stack.enter_async_context(service("clm_stage_engine", self._environment))

    async def kill(self, victim: str, chance: random.Random) -> None:
        """Kill -9, and start it again at once, as a supervisor would."""
        if victim == "engine":
            which = chance.randrange(len(self.engines))
            self.engines[which].kill()
            self.engines[which] = await self.start_engine()
        else:
            self._servers[victim].kill()
            await self._servers[victim].start()

    async def all_published(self) -> list[Record]:
        """Wait until all is folded and published by engines that are alive; give the river."""
        async with asyncio.timeout(180):
            while True:
                await asyncio.sleep(0.5)
                assert all(engine.code is None for engine in self.engines)
                if (count := await self._facts_in_rows()) is None:
                    continue
                facts = await _read(self.kafka, JOURNEY.name)
                if len(facts) == count == await self._facts_in_rows():
                    return facts

    async def _facts_in_rows(self) -> int | None:
        """Count the facts, once everything sent is folded."""
        async with PartitionReader(self.kafka) as reader:
            ends = await reader.end_offsets(TOUCHPOINTS.name)
        found = await self._fetch("SELECT * FROM stage_engine.consumer_partition")
        if {row["partition"]: row["next_offset"] for row in found} != ends:
            return None
        return sum(int(row["next_seq"]) - 1 for row in found)

    async def rows(self) -> Mapping[str, list[asyncpg.Record]]:
        """Give what the database holds of touchpoints and of people."""
        return {
            table: await self._fetch(f"SELECT * FROM stage_engine.{table}")  # noqa: S608 - a constant
            for table in ("history", "profile")
        }

    async def _fetch(self, statement: str) -> list[asyncpg.Record]:
        db = await asyncpg.connect(self._environment["CLM_DATABASE_URL"])
        try:
            return list(await db.fetch(statement))
        finally:
            await db.close()


async def _start(
    stack: AsyncExitStack, broker: KafkaNode, database: PostgresNode, engines: int
) -> _World:
    await broker.start()
    await database.start()
    environment = {
        "CLM_DATABASE_URL": await database.server.create(),
        "CLM_KAFKA_BOOTSTRAP": broker.bootstrap,
        "CLM_LEASE_SECONDS": "2",
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    }
    world = _World(stack, broker, database, environment)
    await create_topics(world.kafka)
    world.engines = [await world.start_engine() for _ in range(engines)]
    return world


def clickstream(chance: random.Random) -> Iterator[list[Message]]:
    """Make touchpoints by the twenty, in order of time but for some that are late or sent twice.

    Everybody is anonymous at first and signs in sooner or later: two partitions meet in a person.
    """
    begin = SystemClock().now() - 3 * DAY
    held: list[Message] = []
    late: list[Message] = []
    for number in itertools.count():
        who = chance.randrange(PEOPLE)
        event = "Order Completed" if chance.random() < 0.1 else "Product Viewed"
        known = number >= PEOPLE and chance.random() < min(0.8, number / 3_000)
        held.append(
            touchpoint(
                begin + number * SECOND,
                user=f"user-{who}" if known else None,
                anonymous=f"visitor-{who}",
                event=event,
                message_id=f"m{number}",
            )
        )
        if len(held) == 20:
            late.append(held.pop(chance.randrange(20)))
            caught_up = late.pop(chance.randrange(len(late))) if len(late) > 50 else held[0]
            yield [*held, caught_up]
            held.clear()


async def _send(kafka: KafkaSettings, stop: asyncio.Event) -> list[Message]:
    """Send until told to stop, again what was not taken; give what was taken at last."""
    taken: list[Message] = []
    stream = clickstream(random.Random(7))
    everybody = [
        touchpoint(
            SystemClock().now() - DAY,
            kind="identify",
            user=f"user-{who}",
            anonymous=f"visitor-{who}",
            message_id=f"last-{who}",
        )
        for who in range(PEOPLE)
    ]
    async with GroupProducer(kafka) as producer:
        while not stop.is_set():
            taken += await _sent(producer, next(stream))
            await asyncio.sleep(0.08)
        return taken + await _sent(producer, everybody)


async def _sent(producer: GroupProducer, messages: list[Message]) -> list[Message]:
    while True:
        with suppress(Unavailable):
            await producer.publish(messages)
            return messages
        await asyncio.sleep(0.2)


async def _read(kafka: KafkaSettings, topic: str) -> list[Record]:
    """Read a topic to its end, as a subscriber in read_committed does."""
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


def _people(messages: Sequence[Message]) -> Mapping[str, list[Arrival]]:
    """Give what was sent by whose it is: an anonymous visitor's is the user's of that number."""
    theirs = defaultdict(list)
    for message in messages:
        arrival = arrive(_AsRead(message))
        assert arrival.anonymous is not None
        theirs[arrival.anonymous[2].replace("visitor", "user")].append(arrival)
    return theirs


def _check_touchpoints(
    facts: Sequence[Record],
    rows: Mapping[str, list[asyncpg.Record]],
    theirs: Mapping[str, list[Arrival]],
) -> None:
    """Each touchpoint is published once and stored once, whatever was sent twice."""
    sent = [it.sent_id for arrivals in theirs.values() for it in arrivals]
    assert len(sent) > len(set(sent))
    once = dict.fromkeys(sent, 1)
    assert Counter(it.message_id for _, it in facts if isinstance(it, TouchpointApplied)) == once
    assert Counter(row["message_id"] for row in rows["history"]) == once


def _check_timelines(
    facts: Sequence[Record],
    rows: Mapping[str, list[asyncpg.Record]],
    theirs: Mapping[str, list[Arrival]],
) -> None:
    """Everybody's timeline, as published and as stored, is the fold of their set."""
    profiles = {row["id"]: row for row in rows["profile"]}
    for user, arrivals in theirs.items():
        expected = fold(REACH, order(arrivals), until=max(it.time for it in arrivals))
        who = profile_id("local", "user_id", user)
        found = timeline_of([it for _, it in facts], who)
        assert [(from_rfc3339(it.at), it.target) for it in found] == [
            (it.at, it.target) for it in expected.changes
        ]
        assert profiles[who]["stage"] == expected.changes[-1].target
        assert profiles[who]["touchpoints"] == len({it.message_id for it in arrivals})


def _check_order(facts: Sequence[Record], messages: Sequence[Message]) -> None:
    """What came through one partition is published in the order of its person's versions.

    Two partitions may meet in a person; how their facts interleave is for readers to bear.
    """
    came = {arrive(_AsRead(it)).sent_id: partition_of(it.key or b"", PARTITIONS) for it in messages}
    newest: dict[object, int] = {}
    for _, fact in facts:
        if isinstance(fact, TouchpointApplied):
            place = fact.profile_id, came[fact.message_id]
            assert fact.version >= newest.get(place, 0)
            newest[place] = fact.version


class _AsRead:
    """A message as a record, for the engine's own reader."""

    def __init__(self, message: Message) -> None:
        self.topic, self.key, self.value = message.topic, message.key, message.value
        self.headers = message.headers
        self.partition = self.offset = self.timestamp = 0
