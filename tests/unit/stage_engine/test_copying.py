"""Copying the river: whole, in order, in turns, whatever breaks it off."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import pytest

from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryPublisher, MemoryReader
from clm_common.bus.ports import Message
from clm_common.contracts.topics import ALL, JOURNEY, PUBLISHED, STAGE_CHANGES, Topic
from clm_common.errors import Unavailable
from clm_stage_engine import copying
from clm_stage_engine.copying import Lane, copy
from clm_stage_engine.core import river
from tests.support.river import change

COPY = Topic("copy", JOURNEY.partitions, JOURNEY.retention_ms, "a copy")
KEPT = Topic("copy.published", PUBLISHED.partitions, -1, "its position", compacted=True)


def facts(count: int, *, workspace: str = "acme") -> list[list[Message]]:
    """Make the messages of stage changes, a list for each fact."""
    changes = [
        change(f"u{number % 7}", number, "reach", version=number + 1, workspace=workspace)
        for number in range(count)
    ]
    return [[*chain.from_iterable(river.columns([each]))] for each in changes]


class Rows:
    """A partition's committed facts; they can be taken away."""

    def __init__(self, committed: Sequence[Sequence[Message]]) -> None:
        self.committed = list(committed)
        self.answers = 1_000

    async def __call__(self, after: int, limit: int) -> tuple[int, Sequence[Sequence[Message]]]:
        self.answers -= 1
        if self.answers < 0:
            raise Unavailable("rows.away", "the rows are away")
        found = self.committed[after : after + limit]
        return after + len(found), found


def lane(broker: MemoryBroker, rows: Rows, number: int = 0, workspace: str | None = None) -> Lane:
    """Make a lane of a new run."""
    publisher = MemoryPublisher(broker, service="copy", partition=number, positions=KEPT.name)
    return Lane(rows, publisher, topic=COPY.name, workspace=workspace)


async def run(broker: MemoryBroker, *lanes: Lane) -> dict[int, int]:
    """Be one run."""
    for each in lanes:
        await each.open()
    return await copy(lanes, MemoryReader(broker), lambda _: None)


def content(broker: MemoryBroker, topic: str) -> list[tuple[int, object, object, object]]:
    """Give what stands on a topic, in order."""
    return [(it.partition, it.key, it.value, list(it.headers)) for it in broker.records(topic)]


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    monkeypatch.setattr(copying, "CHUNK", 10)
    return MemoryBroker((*ALL, COPY, KEPT))


async def test_a_copy_is_the_river_byte_for_byte_and_nothing_else(broker: MemoryBroker) -> None:
    rows = Rows(facts(35))
    live = [message for fact in rows.committed for message in fact]
    await MemoryProducer(broker).publish(live)

    await run(broker, lane(broker, rows))

    assert any(message.topic == STAGE_CHANGES.name for message in live)
    assert len(content(broker, COPY.name)) == 35
    assert content(broker, COPY.name) == content(broker, JOURNEY.name)


async def test_a_copy_that_was_broken_off_goes_on_without_a_gap_or_a_repeat(
    broker: MemoryBroker,
) -> None:
    rows = Rows(facts(35))
    rows.answers = 2
    with pytest.raises(Unavailable):
        await run(broker, lane(broker, rows))
    before = len(content(broker, COPY.name))
    rows.answers = 1_000

    await run(broker, lane(broker, rows))

    await MemoryProducer(broker).publish([it for fact in rows.committed for it in fact])
    assert before == 20
    assert content(broker, COPY.name) == content(broker, JOURNEY.name)


async def test_only_the_wanted_workspace_is_copied_and_the_others_are_passed_once(
    broker: MemoryBroker,
) -> None:
    rows = Rows([*facts(12, workspace="other"), *facts(5), *facts(12, workspace="other")])
    own = lane(broker, rows, workspace="acme")

    await run(broker, own)

    assert len(content(broker, COPY.name)) == 5
    assert own.copied == 29


async def test_what_is_published_while_the_offsets_are_taken_is_in_the_copy(
    broker: MemoryBroker,
) -> None:
    rows = Rows(facts(12))
    late = facts(20)[12:]
    await MemoryProducer(broker).publish([it for fact in rows.committed for it in fact])

    class Meanwhile(MemoryReader):
        async def end_offsets(self, topic: str) -> dict[int, int]:
            rows.committed.extend(late)
            await MemoryProducer(broker).publish([it for fact in late for it in fact])
            return await super().end_offsets(topic)

    own = lane(broker, rows)
    await own.open()
    ends = await copy([own], Meanwhile(broker), lambda _: None)

    copied = content(broker, COPY.name)
    assert copied == content(broker, JOURNEY.name)
    assert sum(ends.values()) == len(copied)


async def test_lanes_take_turns(broker: MemoryBroker) -> None:
    reported: list[int] = []
    lanes = [lane(broker, Rows(facts(25)), number) for number in range(2)]
    for each in lanes:
        await each.open()

    await copy(lanes, MemoryReader(broker), reported.append)

    assert reported == [20, 40, 50, 50]
