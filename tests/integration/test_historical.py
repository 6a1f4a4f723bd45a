"""What is imported from the past moves stages like anything else, and is known to be history."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Sequence
from itertools import chain

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.ids import USER_ID
from clm_common.contracts.topics import JOURNEY, STAGE_CHANGES, TOUCHPOINTS
from clm_common.contracts.touchpoint import HISTORICAL
from clm_common.instant import DAY
from clm_stage_engine.outbox import Facts
from clm_stage_engine.profiles import GRACE
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    async with Engine(engine_url, MemoryBroker()) as engine:
        yield engine


def imported(at: int, *, event: str = ORDER) -> Message:
    return touchpoint(at, user="ada", event=event, received=NOW, marks=[HISTORICAL])


def live(at: int, *, event: str = ORDER) -> Message:
    return touchpoint(at, user="ada", event=event)


async def past(engine: Engine, micros: int) -> None:
    """Let time pass, and what falls due until then happen."""
    engine.clock.set(engine.clock.now() + micros)
    await engine.settled()


def told(engine: Engine) -> list[tuple[str, bool]]:
    """Give ada's stages in order, each with whether it is history."""
    return [(it.target, it.historical) for it in engine.timeline(USER_ID, "ada")]


async def test_stages_entered_because_of_an_import_are_history(engine: Engine) -> None:
    await engine.send(imported(NOW - 3 * DAY), imported(NOW - DAY))
    await engine.settled()

    assert told(engine) == [("reach", True), ("conversion", True), ("retention", True)]


async def test_a_deadline_after_an_import_is_history_until_something_live_happens(
    engine: Engine,
) -> None:
    await engine.send(imported(NOW - 121 * DAY))
    await engine.settled()
    await past(engine, GRACE)
    lapsed = told(engine)
    await engine.send(live(NOW))
    await engine.settled()
    await past(engine, 121 * DAY)

    assert lapsed == [("reach", True), ("conversion", True), ("acquisition", True)]
    assert told(engine) == [*lapsed, ("conversion", False), ("acquisition", False)]


async def test_the_mark_does_not_depend_on_the_order_of_arrival(engine: Engine) -> None:
    orders = [imported(NOW - 300 * DAY), live(NOW - 150 * DAY), imported(NOW - 130 * DAY)]
    expected = [
        ("reach", True),
        ("conversion", True),
        ("acquisition", True),
        ("conversion", False),
        ("retention", True),
        ("acquisition", True),
    ]
    random.Random(3).shuffle(orders)

    for order in orders:
        await engine.send(order)
        await engine.settled()
    await past(engine, GRACE)

    assert told(engine) == expected


async def test_what_is_published_anew_from_the_rows_says_the_same(engine: Engine) -> None:
    await engine.send(imported(NOW - 121 * DAY), live(NOW - DAY))
    await engine.settled()

    again: list[Message] = []
    for partition in range(TOUCHPOINTS.partitions):
        _, pieces = await Facts(engine.database, TOUCHPOINTS.name, partition)(0, 100)
        again += chain.from_iterable(pieces)
    for topic in (JOURNEY.name, STAGE_CHANGES.name):
        published = [it.value for it in engine.broker.records(topic)]
        assert sorted(values_of(again, topic)) == sorted(it or b"" for it in published)


def values_of(messages: Sequence[Message], topic: str) -> list[bytes]:
    return [it.value for it in messages if it.topic == topic]
