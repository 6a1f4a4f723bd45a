"""Profiles are written alike whether few are saved at a time or many."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from clm_common.errors import RaceLost
from clm_common.store.database import Database
from clm_stage_engine.core.fold import fold
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store import SCHEMA, reading, saving
from tests.support.timelines import day, lifecycle, touch

SIGNED_UP = lifecycle("{from: a, to: b, when: {event: Signed Up}}", stages="ab")
FOLDED = fold(SIGNED_UP, [touch("Seen", 1), touch("Signed Up", 3)], day(30)).state


def person(number: int) -> Entry:
    """Make somebody; every third has no touchpoint left, every other no customer's id."""
    return Entry(
        id=UUID(int=number * 2**90),
        workspace="acme",
        version=1,
        home=number % 6,
        user_id=f"Zoë-{number}" if number % 2 else None,
        touchpoints=number,
        state=FOLDED if number % 3 else None,
        definition="reach:1",
        historical=number % 5 == 0,
        parted=number % 7 == 0,
    )


PEOPLE = [(person(number), None if number % 4 else day(number)) for number in range(1, 60)]


@pytest.fixture(params=[0, 10_000], ids=["many", "few"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "FEW", request.param)


@pytest.mark.usefixtures("_way")
async def test_profiles_are_read_back_as_they_were_saved(engine_url: str) -> None:
    async with Database(engine_url, schema=SCHEMA) as db, db.transaction() as tx:
        await saving.save_profiles(tx, PEOPLE)
        newer = [(replace(it, version=2, user_id="new"), wake) for it, wake in PEOPLE[:7]]
        await saving.save_profiles(tx, newer)
        found = await reading.load_profiles(tx, [it.id for it, _ in PEOPLE])
        woken = await tx.fetch("SELECT wake_at FROM profile ORDER BY id")
        seen = await tx.fetchrow(
            "SELECT stage, stage_since, first_seen, last_seen FROM profile WHERE id = $1",
            PEOPLE[0][0].id,
        )

    expected = [it for it, _ in newer] + [it for it, _ in PEOPLE[7:]]
    assert sorted(found, key=lambda it: it.id) == expected
    assert [it["wake_at"] and it["wake_at"].timestamp() for it in woken] == [
        wake and wake / 1e6 for _, wake in PEOPLE
    ]
    assert FOLDED is not None
    assert seen is not None
    assert [seen[0], *(round(it.timestamp() * 1e6) for it in seen[1:])] == [
        FOLDED.stage,
        FOLDED.stage_since,
        FOLDED.first_seen,
        FOLDED.frontier[0],
    ]


@pytest.mark.usefixtures("_way")
async def test_one_that_somebody_else_has_changed_is_a_lost_race(engine_url: str) -> None:
    async with Database(engine_url, schema=SCHEMA) as db:
        async with db.transaction() as tx:
            await saving.save_profiles(tx, PEOPLE)
        skipped = [(replace(it, version=3 if it is PEOPLE[5][0] else 2), w) for it, w in PEOPLE]
        with pytest.raises(RaceLost):
            async with db.transaction() as tx:
                await saving.save_profiles(tx, skipped)
        async with db.connection() as held:
            versions = await held.fetch("SELECT DISTINCT version FROM profile")

    assert [it["version"] for it in versions] == [1]
