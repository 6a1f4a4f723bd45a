"""The examples for subscribers of `clm.stage-changes`, run as they stand behind a real engine.

What they make of the topic is what the engine says of everybody, with corrections, a transaction
that was broken off, a kill in between, and a topic that has forgotten.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.examples import envelope_of
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import STAGE_CHANGES, partition_of
from clm_stage_engine.queries import erasures
from tests.support.servers import DatabaseServer, KafkaNode, own_node
from tests.support.shop import Shop, clickstream, open_shop
from tests.support.subscribers import InNode, InPython, Stages, Subscriber, running, until
from tests.support.touchpoints import touchpoint

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(420),
]

PARTITIONS: Final = STAGE_CHANGES.partitions
NEVER: Final = "never"
"""The stage that only changes of a broken-off transaction speak of."""

KINDS: Final = [InPython, InNode]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    server_home: Path, database_server: DatabaseServer, engine_template: str
) -> AsyncGenerator[Shop]:
    """Run an engine that has corrected itself; a transaction was broken off in between."""
    people = random.Random(11)
    with ExitStack() as stack:
        broker = own_node(KafkaNode, server_home, stack)
        async with (
            database_server.lend(engine_template) as url,
            open_shop(broker, url) as running,
        ):
            await running.send(clickstream(people, 200, "a"))
            await running.settled(running.sent)
            await abort(running, [change(it, NEVER) for it in range(PARTITIONS)])
            await running.send(clickstream(people, 200, "b"))  # much of it is earlier than "a"
            await running.settled(running.sent)
            yield running


def change(partition: int, stage: str) -> StageChange:
    """Make the only change of a profile whose records lie in this partition."""
    profiles = (uuid.uuid5(uuid.NAMESPACE_DNS, f"{stage} {number}") for number in range(10_000))
    profile = next(it for it in profiles if partition_of(str(it).encode(), PARTITIONS) == partition)
    return StageChange(
        id=uuid.uuid5(profile, stage),
        workspace="acme",
        profile_id=profile,
        version=1,
        lifecycle="reach",
        definition="d",
        target=stage,
        move=stage,
        at="2026-01-01T00:00:00.000000Z",
    )


def message(of: StageChange, topic: str = STAGE_CHANGES.name) -> Message:
    key, value = str(of.profile_id).encode(), msgspec.json.encode(of)
    return Message(topic, key, value, tuple(envelope_of(of).headers()))


Person = tuple[UUID, str]
"""A profile and its workspace."""


async def abort(shop: Shop, changes: Iterable[StageChange]) -> None:
    """Publish changes in a transaction that is broken off."""
    producer = AIOKafkaProducer(**shop.kafka.connection(), transactional_id="broken-off")
    async with producer:
        await producer.begin_transaction()
        for each in map(message, changes):
            place = partition_of(each.key, PARTITIONS)
            headers = list(each.headers)
            await producer.send_and_wait(each.topic, each.value, each.key, place, headers=headers)
        await producer.abort_transaction()


async def ended(shop: Shop, subscriber: Subscriber, *topics: str) -> Stages:
    """Give what a subscriber has made of everything that stands on these topics now.

    As each partition keeps its order, a record behind all others tells that they have been read.
    """
    marks = {
        topic: [change(it, f"end-{uuid.uuid4().hex}") for it in range(PARTITIONS)]
        for topic in topics
    }
    await shop.send([message(each, topic) for topic, many in marks.items() for each in many])
    ends = {str(each.profile_id) for many in marks.values() for each in many}
    found = await until(subscriber, lambda stages: ends <= stages.keys())
    return {profile: stage for profile, stage in found.items() if stage[:4] != "end-"}


async def truth(shop: Shop) -> Stages:
    """Give everybody's stage as the engine has it."""
    async with shop.engine.connection() as db:
        rows = await db.fetch("SELECT id, stage FROM profile WHERE stage IS NOT NULL")
    return {str(it["id"]): it["stage"] for it in rows}


async def retractions(shop: Shop) -> int:
    """Count what was taken back on the topic."""
    records = await shop.read(STAGE_CHANGES.name)
    changed = [
        value
        for each in records.values()
        for _, value, headers in each
        if dict(headers)["ce_type"] == b"clm.stage-change.v1"
    ]
    return sum(msgspec.json.decode(it, type=StageChange).retracted for it in changed)


async def erase(shop: Shop, people: Iterable[Person]) -> None:
    """Have people erased, and wait until that is done."""
    async with shop.engine.connection() as db, asyncio.timeout(60):
        for profile, workspace in people:
            asked = await erasures.ask(
                db,
                name=uuid.uuid4(),
                workspace=workspace,
                profile=profile,
                reason="by letter",
                author="test",
                now=datetime.now(UTC),
            )
            assert asked is not None
        while await db.fetch("SELECT FROM erasure WHERE done_at IS NULL"):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)
    await shop.settled(shop.sent)


async def customers(shop: Shop, count: int) -> dict[Person, str]:
    """Give some customers' user ids."""
    async with shop.engine.connection() as db:
        rows = await db.fetch(
            "SELECT id, workspace, user_id FROM profile WHERE stage IS NOT NULL"
            " AND user_id IS NOT NULL ORDER BY id LIMIT $1",
            count,
        )
    return {(UUID(str(it["id"])), it["workspace"]): it["user_id"] for it in rows}


async def forget(shop: Shop) -> None:
    """Let the topic forget everything that stands on it, as it does after seven days."""
    admin = AIOKafkaAdminClient(**shop.kafka.connection())
    await admin.start()
    try:
        places = [TopicPartition(STAGE_CHANGES.name, it) for it in range(PARTITIONS)]
        await admin.delete_records({it: RecordsToDelete(-1) for it in places})
    finally:
        await admin.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_subscriber_ends_with_the_stages_of_the_engine_whatever_was_corrected(
    shop: Shop, tmp_path: Path, kind: type[InPython | InNode]
) -> None:
    subscriber = kind(tmp_path)

    async with running(subscriber, shop.kafka.bootstrap):
        found = await ended(shop, subscriber, STAGE_CHANGES.name)

    assert await retractions(shop) > 20
    assert found == await truth(shop)
    assert NEVER not in found.values()


async def test_a_subscriber_that_was_killed_goes_on_where_it_was(
    shop: Shop, tmp_path: Path
) -> None:
    subscriber = InPython(tmp_path)
    async with running(subscriber, shop.kafka.bootstrap):
        await until(subscriber, bool)
    await shop.send(clickstream(random.Random(12), 100, uuid.uuid4().hex))
    await shop.settled(shop.sent)

    async with running(subscriber, shop.kafka.bootstrap):
        found = await ended(shop, subscriber, STAGE_CHANGES.name)

    assert found == await truth(shop)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_subscriber_forgets_whoever_is_erased_and_knows_whoever_comes_back(
    shop: Shop, tmp_path: Path, kind: type[InPython | InNode]
) -> None:
    subscriber = kind(tmp_path)
    gone = await customers(shop, 3)
    (back, workspace), user = next(iter(gone.items()))

    async with running(subscriber, shop.kafka.bootstrap):
        before = await ended(shop, subscriber, STAGE_CHANGES.name)
        await erase(shop, gone)
        forgotten = await ended(shop, subscriber, STAGE_CHANGES.name)
        now = SystemClock().now()
        await shop.send([touchpoint(now, user=user, event="Back", workspace=workspace)])
        await shop.settled(shop.sent)
        again = await ended(shop, subscriber, STAGE_CHANGES.name)

    erased = {str(profile) for profile, _ in gone}
    assert erased <= before.keys()
    assert erased.isdisjoint(forgotten)
    assert erased & again.keys() == {str(back)}
    assert again == await truth(shop)
    assert subscriber.kept_of(erased - {str(back)}) == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_subscriber_that_begins_after_the_topic_forgot_is_filled_from_a_copy(
    shop: Shop, tmp_path: Path, kind: type[InPython | InNode]
) -> None:
    subscriber, copy = kind(tmp_path), f"copy-{uuid.uuid4().hex}"
    await forget(shop)
    code, _, told = await shop.republish("--to", copy)
    await shop.send(clickstream(random.Random(13), 100, uuid.uuid4().hex))  # behind the copy
    await shop.settled(shop.sent)

    async with running(subscriber, shop.kafka.bootstrap, copy):
        found = await ended(shop, subscriber, STAGE_CHANGES.name, copy)

    assert code == 0, told
    assert found == await truth(shop)
