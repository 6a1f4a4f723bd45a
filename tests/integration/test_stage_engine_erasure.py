"""Erasing a person on a real PostgreSQL: nothing is left, nothing comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from uuid import UUID

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.contracts import journey
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import ProfileErased
from clm_common.contracts.topics import JOURNEY, PARTITIONS, STAGE_CHANGES, partition_of
from clm_common.instant import DAY, HOUR, SECOND, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.identity import IdentityRow
from clm_stage_engine.housekeeping import drop_emptied
from clm_stage_engine.store import reading
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
ADA = profile_id("local", "user_id", "lovelace")
DEVICE = profile_id("local", "anonymous_id", "tablet")

TABLES = (
    "identity",
    "profile",
    "history",
    "stage_change",
    "explanation",
    "snapshot",
    "identity_moved",
    "erasure",
    "erased_identity",
    "profile_erased",
)


async def walk_in(engine: Engine) -> None:
    """Ada looks around on her tablet, signs up and buys; bob only looks."""
    await engine.send(touchpoint(NOW - 5 * HOUR, anonymous="tablet", kind="page"))
    await engine.settled()
    await engine.send(
        touchpoint(
            NOW - 3 * HOUR, anonymous="tablet", user="lovelace", kind="identify", message_id="i"
        ),
        touchpoint(NOW - 2 * HOUR, user="lovelace", event=ORDER, message_id="o"),
        touchpoint(NOW - 2 * HOUR, user="bob", event=ORDER),
    )
    await engine.settled()


async def everything(engine: Engine) -> str:
    """Give all that is stored, as text."""
    found = [await engine.fetch(f"SELECT it::text FROM {table} AS it") for table in TABLES]  # noqa: S608 - constants
    bodies = await engine.fetch("SELECT convert_from(body, 'UTF8') AS body FROM history")
    return str(found) + str(bodies)


async def test_nothing_is_left_of_somebody_who_was_erased_and_all_of_the_others(
    engine: Engine,
) -> None:
    await walk_in(engine)
    bob = await engine.fetch("SELECT * FROM profile WHERE user_id = 'bob'")
    before = await everything(engine)
    assert [word for word in ("lovelace", "tablet") if word in before] == ["lovelace", "tablet"]

    receipt = await engine.erase("user_id", "lovelace")

    left = await everything(engine)
    assert [word for word in ("lovelace", "tablet") if word in left] == []
    assert await engine.fetch("SELECT * FROM profile WHERE user_id = 'bob'") == bob
    counts = await engine.fetch("SELECT parts, touchpoints, profile_id FROM erasure")
    assert counts == [{"parts": 2, "touchpoints": 3, "profile_id": None}]
    told = [it for it in engine.facts() if isinstance(it, ProfileErased)]
    assert {it.profile_id for it in told} == {ADA, DEVICE}
    assert [(it.erasure, it.part, it.parts) for it in told] == [(receipt, 1, 2), (receipt, 2, 2)]
    for it in told:
        versions = [other.version for other in engine.facts() if other.profile_id == it.profile_id]
        assert versions.count(it.version) == 1
        assert max(versions) == it.version


async def test_old_events_stay_out_whoever_sends_them_again_and_new_ones_begin_a_new_life(
    engine: Engine,
) -> None:
    await walk_in(engine)
    await engine.erase("user_id", "lovelace")

    await engine.send(
        touchpoint(NOW - 2 * HOUR, user="lovelace", event=ORDER, message_id="o"),
        touchpoint(NOW - 9 * DAY, user="lovelace", event=ORDER, message_id="older"),
        touchpoint(NOW - 1 * HOUR, anonymous="tablet", kind="page", message_id="page"),
        touchpoint(NOW - 1 * HOUR, anonymous="phone", user="lovelace", kind="identify"),
    )
    await engine.settled()
    assert "lovelace" not in await everything(engine)
    assert "phone" not in await everything(engine)

    await engine.send(touchpoint(NOW + SECOND, user="lovelace", kind="page", message_id="new"))
    await engine.settled()
    await engine.send(touchpoint(NOW - HOUR, user="lovelace", event=ORDER, message_id="late"))
    await engine.settled()

    rows = await engine.fetch("SELECT user_id, touchpoints, stage FROM profile WHERE id = $1", ADA)
    assert rows == [{"user_id": "lovelace", "touchpoints": 1, "stage": "reach"}]
    assert [
        row["message_id"]
        for row in await engine.fetch("SELECT message_id FROM history WHERE profile_id = $1", ADA)
    ] == ["new"]
    mine = [it for it in engine.facts() if it.profile_id == ADA]
    (gone,) = [it.version for it in mine if isinstance(it, ProfileErased)]
    assert mine[-1].version > gone


def elsewhere(name: str) -> str:
    """Give a device whose own events another partition's owner takes in than a user's."""
    home = partition_of(f"local:{name}".encode(), PARTITIONS)
    devices = (f"device-{number}" for number in range(100))
    return next(it for it in devices if partition_of(f"local:{it}".encode(), PARTITIONS) != home)


async def test_what_another_partition_remembers_of_somebody_does_not_bring_them_back(
    engine: Engine,
) -> None:
    device = elsewhere("lovelace")
    await engine.send(
        touchpoint(NOW - 5 * HOUR, anonymous=device, user="lovelace", kind="identify")
    )
    await engine.settled()
    await engine.send(touchpoint(NOW - 4 * HOUR, anonymous=device, kind="page"))
    await engine.settled()

    await engine.ask_to_erase("user_id", "lovelace")
    for number in range(40):
        await engine.send(touchpoint(NOW - HOUR + number, anonymous=device, kind="page"))
        await asyncio.sleep(0.02)
    await engine.settled()
    await engine.send(touchpoint(NOW + SECOND, anonymous=device, kind="page", message_id="new"))
    await engine.settled()

    assert await engine.fetch("SELECT 1 FROM erasure WHERE done_at IS NULL") == []
    assert "lovelace" not in await everything(engine)
    rows = await engine.fetch(
        "SELECT i.value, h.message_id FROM history h LEFT JOIN identity i ON i.id = h.identity_id"
    )
    assert rows == [{"value": device, "message_id": "new"}]


@pytest.mark.parametrize("round_", range(4))
async def test_an_erasure_amid_traffic_leaves_what_came_after_it_and_nothing_else(
    engine: Engine, round_: int
) -> None:
    device = elsewhere("lovelace")

    async def traffic() -> None:
        for number in range(150):
            both = number % 5 == round_
            user = "lovelace" if both or number % 3 else None
            seen = device if both or not number % 3 else None
            at = NOW - HOUR + number if number % 2 else NOW + HOUR + number
            name = f"m{number}"
            page = touchpoint(at, kind="page", message_id=name, user=user, anonymous=seen)
            await engine.send(page)
            if number % 10 == 0:
                await asyncio.sleep(0.01)

    await engine.send(touchpoint(NOW - DAY, anonymous=device, user="lovelace", kind="identify"))
    await engine.settled()
    sending = asyncio.create_task(traffic())
    await engine.ask_to_erase("user_id", "lovelace")
    await sending
    await engine.erased_all()

    orphans = await engine.fetch(
        "SELECT FROM history h WHERE NOT EXISTS (SELECT FROM identity i WHERE i.id = h.identity_id)"
    )
    assert orphans == []
    until = (await engine.fetch("SELECT max(until) AS at FROM erased_identity"))[0]["at"]
    old = await engine.fetch("SELECT FROM history WHERE time <= $1", until)
    assert old == []
    counted = await engine.fetch(
        "SELECT p.touchpoints, (SELECT count(*) FROM history h JOIN identity i ON i.id = "
        "h.identity_id WHERE i.profile_id = p.id) AS kept FROM profile p WHERE stage IS NOT NULL"
    )
    assert [row for row in counted if row["touchpoints"] != row["kept"]] == []


async def test_an_erasure_that_was_broken_off_is_done_once_by_the_next_owner(
    engine_url: str,
) -> None:
    broker = MemoryBroker()
    async with Engine(engine_url, broker) as first:
        await walk_in(first)
        await first.ask_to_erase("user_id", "lovelace")
        await first.crash()
    async with Engine(engine_url, broker, owner="engine-2") as second:
        await second.erased_all()

        assert "lovelace" not in await everything(second)
        told = [it.profile_id for it in second.facts() if isinstance(it, ProfileErased)]
        assert sorted(told) == sorted([ADA, DEVICE])


async def test_asked_twice_it_is_one_erasure(engine: Engine) -> None:
    await walk_in(engine)

    first, again = await asyncio.gather(
        engine.ask_to_erase("user_id", "bob"), engine.ask_to_erase("user_id", "bob")
    )
    await engine.erase("user_id", "lovelace")

    assert first == again
    assert len(await engine.fetch("SELECT FROM erasure")) == 2


async def test_the_empty_rows_go_when_no_older_message_can_be_about(engine: Engine) -> None:
    await walk_in(engine)
    await engine.erase("user_id", "lovelace")

    old = touchpoint(NOW - HOUR, user="lovelace", kind="page")
    await engine.send(old)
    await engine.settled()
    await drop_emptied(engine.database, NOW + 27 * DAY)
    assert len(await engine.fetch("SELECT FROM profile")) == 3
    await drop_emptied(engine.database, NOW + 29 * DAY)

    assert await engine.fetch("SELECT user_id FROM profile") == [{"user_id": "bob"}]
    await engine.send(old)
    await engine.settled()
    assert "lovelace" not in await everything(engine)


async def test_subscribers_of_the_public_topic_are_told_behind_the_changes(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - HOUR, user="ada", event="Seen"))
    await engine.settled()

    await engine.erase("user_id", "ada")

    ada = profile_id("local", "user_id", "ada")
    public = [it for it in engine.broker.records(STAGE_CHANGES.name) if it.key == str(ada).encode()]
    river = [it.value for it in engine.broker.records(JOURNEY.name)]
    assert [dict(it.headers)["ce_type"] for it in public] == [
        b"clm.stage-change.v1",
        b"clm.person-erased.v1",
    ]
    told = journey.decode(public[-1].value or b"")
    assert isinstance(told, ProfileErased)
    assert told.profile_id == ada
    assert public[-1].value in river
    assert b"ada" not in (public[-1].value or b"")


async def test_what_was_read_before_an_erasure_stays_out_though_the_person_came_back_meanwhile(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = elsewhere("lovelace")
    held, back = asyncio.Event(), asyncio.Event()
    load = reading.load_identities

    async def late(tx: Connection, ids: Collection[UUID]) -> list[IdentityRow]:
        if ids == {profile_id("local", "anonymous_id", device)} and not held.is_set():
            held.set()
            await back.wait()
        return await load(tx, ids)

    await engine.send(touchpoint(NOW - DAY, anonymous=device, user="lovelace", kind="identify"))
    await engine.settled()
    monkeypatch.setattr(reading, "load_identities", late)
    await engine.send(touchpoint(NOW - HOUR, anonymous=device, kind="page"))
    await held.wait()

    await engine.ask_to_erase("user_id", "lovelace")
    await engine.folded(0)
    again = touchpoint(NOW + HOUR, anonymous=device, user="lovelace", kind="identify")
    await engine.send(again)
    await engine.folded(1)
    back.set()
    await engine.settled()

    times = [row["time"] for row in await engine.fetch("SELECT time FROM history")]
    assert times == [to_datetime(NOW + HOUR)]
