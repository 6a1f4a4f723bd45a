"""Replay on a real PostgreSQL: the history gives the live state, and a damaged row is mended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.ids import profile_id
from clm_common.contracts.stage_change import StageChange
from clm_common.errors import Unavailable
from clm_common.instant import DAY, HOUR
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_stage_engine import rebuilding
from clm_stage_engine.rebuilding import Place, Rebuilding
from clm_stage_engine.store import mending
from clm_stage_engine.store.mending import Among
from tests.support.commands import Done, program
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import alias, touchpoint

ORDER = "Order Completed"
PEOPLE = 30
ADA = UUID(str(profile_id("local", "user_id", "u5")))
"""She has three orders, and a device that was linked to her."""


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    async with Engine(engine_url, MemoryBroker()) as opened:
        await opened.send(*crowd())
        await opened.settled()
        await opened.send(
            touchpoint(NOW - 160 * DAY, user="u9", event=ORDER, message_id="late"),
            touchpoint(NOW - 3 * HOUR, user="u5", anonymous="d4", kind="identify"),
        )
        await opened.settled()
        yield opened


def crowd() -> list[Message]:
    """Person number n came by a device, and ordered n % 4 + 2 times; some have lapsed since."""
    found: list[Message] = []
    for number in range(PEOPLE):
        began, user = NOW - (number * 7 + 1) * DAY, f"u{number}"
        found.append(touchpoint(began, anonymous=f"d{number}", kind="page"))
        found += [
            touchpoint(began + (1 + at) * HOUR, user=user, event=ORDER)
            for at in range(number % 4 + 2)
        ]
    return found


async def replay(engine: Engine, *, swap: bool = False, among: Among | None = None) -> Place:
    place = Place(among or Among(), swap)
    await rebuild(engine, place).run(lambda _: None, examples=100)
    return place


def rebuild(engine: Engine, place: Place) -> Rebuilding:
    return Rebuilding(engine.database, engine.board.rules, engine.channels, engine.clock, place)


async def row(engine: Engine, profile: UUID = ADA) -> dict[str, Any]:  # Any: columns
    """Give somebody's row, but for what a re-fold raises."""
    (found,) = await engine.fetch("SELECT * FROM profile WHERE id = $1", profile)
    return {name: value for name, value in found.items() if name != "version"}


async def test_replay_gives_the_live_state_of_everybody_byte_for_byte(engine: Engine) -> None:
    facts = len(engine.facts())

    place = await replay(engine)

    assert (place.same, place.differed, place.sample) == (2 * PEOPLE, {}, [])
    assert len(engine.facts()) == facts


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("UPDATE profile SET touchpoints = 7 WHERE id = $1", "state"),
        ("UPDATE profile SET stage = 'loyalty' WHERE id = $1", "state"),
        ("UPDATE profile SET state = substr(state, 1, 9) WHERE id = $1", "unreadable"),
        ("UPDATE profile SET definition = 'of another' WHERE id = $1", "definition"),
        ("UPDATE profile SET wake_at = NULL WHERE id = $1", "deadline"),
        ("DELETE FROM explanation WHERE profile_id = $1", "reasons"),
        ("DELETE FROM profile WHERE id = $1", "missing"),
    ],
)
async def test_a_damaged_row_is_found_and_mended_and_nobody_hears_of_it(
    engine: Engine, damage: str, kind: str
) -> None:
    before, river = await row(engine), engine.timeline("user_id", "u5")
    facts = len(engine.facts())
    async with engine.database.connection() as db:
        await db.execute(damage, ADA)

    found = await replay(engine)
    mended = await replay(engine, swap=True)
    after = await replay(engine)

    assert found.differed == {kind: 1}
    assert [(it.profile_id, it.kind) for it in found.sample] == [(ADA, kind)]
    assert found.sample[0].rebuilt.stage == before["stage"]
    assert (mended.differed, mended.mended) == ({kind: 1}, 1)
    assert (after.same, after.differed) == (2 * PEOPLE, {})
    assert await row(engine) == before
    assert engine.timeline("user_id", "u5") == river
    assert len(engine.facts()) == facts


async def test_ids_that_only_an_alias_without_effect_names_are_not_missing(engine: Engine) -> None:
    await engine.send(
        *(alias(NOW - HOUR, user="u1", previous=f"never-seen-{number}") for number in range(25))
    )
    await engine.settled()

    place = await replay(engine)

    assert (place.differed, place.sample) == ({}, [])


async def test_a_stage_change_that_is_not_in_the_history_is_taken_back_for_subscribers(
    engine: Engine,
) -> None:
    river = engine.timeline("user_id", "u5")
    wrong = msgspec.structs.replace(river[-1], target="loyalty", id=UUID(int=1))
    async with engine.database.connection() as db:
        await db.execute(
            "INSERT INTO stage_change SELECT partition, -1, $2, workspace, profile_id, version,"
            " lifecycle, definition, source, 'loyalty', move, at, cause, user_id, retracted,"
            " recorded_at, historical, lifecycle_version FROM stage_change WHERE id = $1",
            river[-1].id,
            wrong.id,
        )

    mended = await replay(engine, swap=True)
    await engine.settled()

    assert (mended.differed, mended.mended) == ({"timeline": 1}, 1)
    assert mended.sample[0].corrections == 1
    told = [it for it in engine.facts() if isinstance(it, StageChange) and it.id == wrong.id]
    assert [it.retracted for it in told] == [True]
    assert engine.timeline("user_id", "u5") == river


async def test_live_traffic_goes_on_and_damage_that_it_meets_is_mended_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "MOST", 5)  # many pieces
    async with engine.database.connection() as db:
        await db.execute("UPDATE profile SET touchpoints = 99, stage = 'loyalty'")

    running = asyncio.create_task(replay(engine, swap=True))
    for number in range(PEOPLE):
        await engine.send(touchpoint(NOW - HOUR + number, user=f"u{number}", event=ORDER))
        await asyncio.sleep(0.02)
    mended = await running
    await engine.settled()
    after = await replay(engine)

    assert sum(mended.differed.values()) == mended.mended
    assert (after.same, after.differed) == (2 * PEOPLE, {})


async def test_limits_say_who_is_looked_at(engine: Engine) -> None:
    partitions = [await replay(engine, among=Among(partitions=[it])) for it in range(6)]
    one = await replay(engine, among=Among(profiles=[ADA]))
    nobody = await replay(engine, among=Among(workspace="other"))

    assert sum(it.same for it in partitions) == 2 * PEOPLE
    assert all(it.same for it in partitions)
    assert (one.same, nobody.same) == (1, 0)


async def test_a_run_that_was_broken_off_goes_on_and_gives_the_same_answer(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "MOST", 5)
    async with engine.database.connection() as db:
        await db.execute("UPDATE profile SET touchpoints = 99 WHERE id = $1", ADA)
    broken = Place(Among(), swap=False)

    def stop(seen: int) -> None:
        if seen > PEOPLE:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await rebuild(engine, broken).run(stop, examples=100)
    place = msgspec.json.decode(msgspec.json.encode(broken), type=Place)
    assert 0 < place.same < 2 * PEOPLE - 1
    await rebuild(engine, place).run(lambda _: None, examples=100)

    assert place == msgspec.structs.replace(await replay(engine))


async def test_who_is_marked_while_no_engine_runs_is_mended_when_one_does(
    engine: Engine, engine_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "PATIENCE", 0.2)
    before = await row(engine)
    await engine.crash()
    async with engine.database.connection() as db:
        await db.execute("UPDATE profile SET touchpoints = 99 WHERE id = $1", ADA)

    with pytest.raises(Unavailable, match="marked"):
        await replay(engine, swap=True)
    async with Engine(engine_url, engine.broker, owner="engine-2") as second, asyncio.timeout(30):
        while await mended(second):  # noqa: ASYNC110 - its doing
            await asyncio.sleep(0.05)

    assert await row(engine) == before


async def mended(engine: Engine) -> int:
    async with engine.database.connection() as db:
        return await mending.marked(db, [ADA])


async def test_the_program_says_how_many_differ_and_ends_with_1(
    engine: Engine, engine_url: str, tmp_path: Path
) -> None:
    async with engine.database.connection() as db:
        await db.execute("UPDATE profile SET stage = 'loyalty' WHERE id = $1", ADA)

    found = await run(engine_url)
    mended = await run(engine_url, "--swap", "--json", "--checkpoint", str(tmp_path / "place.json"))
    again = await run(engine_url, f"--profile={ADA}")

    assert found[0] == 1, found
    assert f"{2 * PEOPLE - 1} people are as their history says, 1 were not." in found[1]
    assert f"{ADA}  state: loyalty" in found[1]
    assert mended[0] == 0, mended
    answer = json.loads(mended[1])
    assert (answer["differed"], answer["mended"]) == ({"state": 1}, 1)
    assert again[:2] == (0, "1 people are as their history says, 0 were not.\n")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - one name at most


async def run(url: str, *arguments: str) -> Done:
    """Run the program."""
    given = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": "127.0.0.1:1",  # it needs no Kafka
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    }
    return await program("clm_stage_engine.replay", *arguments, **given)
