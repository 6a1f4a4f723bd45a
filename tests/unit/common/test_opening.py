"""What a subscriber does about each sealed record: read it, pass it over, wait, or refuse it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message, Record
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.sealing import Seal
from clm_common.errors import InvalidMessage, Unavailable
from clm_common.runtime.burial import bury
from clm_common.runtime.handler import Refusal
from clm_common.runtime.journey_keys import JourneyKeys
from clm_common.runtime.opening import Opener, as_read

TOPIC = "clm.journey"
ADA, BOB = Seal(UUID(int=1), b"a" * 32), Seal(UUID(int=2), b"b" * 32)


class Keys:
    """Gives these keys, and notes what it was asked."""

    def __init__(self, known: Mapping[UUID, Seal | None]) -> None:
        self._known = known
        self.asked: list[set[UUID]] = []

    async def __call__(self, names: Collection[UUID]) -> Mapping[UUID, Seal | None]:
        self.asked.append(set(names))
        return self._known


async def read(*messages: tuple[str, bytes]) -> Sequence[Record]:
    """Give records, all of one partition."""
    broker = MemoryBroker()
    made = [Message(TOPIC, b"k", value, (("about", about.encode()),)) for about, value in messages]
    await MemoryProducer(broker).publish(made)
    return broker.records(TOPIC)


def of_ada(value: bytes) -> tuple[str, bytes]:
    return "ada", ADA.seal(value, TOPIC, b"k")


async def test_plain_records_cost_no_question_and_stay_what_they_are() -> None:
    keys = Keys({})
    records = await read(("plain", b"{}"), ("plain", b""))

    opened = await Opener(keys)(records)

    assert opened.records is records
    assert keys.asked == []


async def test_sealed_and_plain_ones_are_given_in_order_all_keys_asked_for_at_once() -> None:
    keys = Keys({ADA.id: ADA, BOB.id: BOB})
    bob = ("bob", BOB.seal(b"2", TOPIC, b"k"))
    records = await read(of_ada(b"1"), bob, ("plain", b"{}"), of_ada(b"3"))

    opened = await Opener(keys)(records)

    assert [it.value for it in opened.records] == [b"1", b"2", b"{}", b"3"]
    assert [it.offset for it in opened.records] == [it.offset for it in records]
    assert [dict(it.headers)["about"] for it in opened.records] == [
        b"ada", b"bob", b"plain", b"ada",
    ]  # fmt: skip
    assert keys.asked == [{ADA.id, BOB.id}]


async def test_what_a_deleted_key_has_sealed_is_passed_over_and_counted() -> None:
    counted = telemetry.ERASED_RECORDS.labels(TOPIC)
    before = counted._value.get()
    records = await read(of_ada(b"1"), ("bob", BOB.seal(b"2", TOPIC, b"k")), of_ada(b"3"))

    opened = await Opener(Keys({ADA.id: None, BOB.id: BOB}))(records)

    assert [it.value for it in opened.records] == [b"2"]
    assert opened.refused == []
    assert counted._value.get() == before + 2


async def test_what_was_changed_or_cut_is_refused_alone() -> None:
    changed = ADA.seal(b"1", TOPIC, b"k")[:-1] + b"\0"
    elsewhere = ADA.seal(b"1", "another.topic", b"k")
    records = await read(
        ("changed", changed), of_ada(b"2"), ("cut", b"\x01short"), ("moved", elsewhere)
    )

    opened = await Opener(Keys({ADA.id: ADA}))(records)

    assert [it.value for it in opened.records] == [b"2"]
    assert {it.record.value for it in opened.refused} == {changed, b"\x01short", elsewhere}
    assert {it.error.slug for it in opened.refused} == {"journey.seal_broken"}


async def test_what_is_refused_later_is_buried_sealed() -> None:
    (record,) = await read(of_ada(b"nobody should read this"))
    (opened,) = (await Opener(Keys({ADA.id: ADA}))([record])).records
    error = InvalidMessage("journey.invalid", "it is not one")
    broker = MemoryBroker()

    await bury(MemoryProducer(broker), as_read([Refusal(opened, error)]), now=0)

    (letter,) = broker.records(f"{TOPIC}.dlq")
    assert msgspec.json.decode(letter.value or b"", type=DeadLetter).original == record.value


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9"])
async def test_without_whoever_gives_keys_a_sealed_record_waits(
    url: str | None, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("a.token")
    records = await read(of_ada(b"1"))

    with pytest.raises(Unavailable, match=r"CLM_JOURNEY_KEYS_URL|gives no keys"):
        await Opener(JourneyKeys(url, token))(records)


async def test_a_token_that_is_not_there_is_waited_for_by_name(tmp_path: Path) -> None:
    keys = JourneyKeys("http://127.0.0.1:9", tmp_path / "none")

    with pytest.raises(Unavailable, match=r"CLM_JOURNEY_KEYS_TOKEN=.*none cannot be read"):
        await Opener(keys)(await read(of_ada(b"1")))
