"""The engine's stored reasons, on a real PostgreSQL: whatever the order of arrival, the fold's."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from clm_common.bus.ports import Message
from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, HOUR
from clm_stage_engine.core.explain import explain, pack, unpack
from clm_stage_engine.core.fold import fold, order
from clm_stage_engine.gathering import load_pasts
from clm_stage_engine.store.ids import change_id
from tests.support.engine import NOW, REACH, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"


def bought(at: int, number: int) -> Message:
    return touchpoint(at, user="ada", event=ORDER, message_id=f"order-{number}")


async def told(engine: Engine, profile: UUID) -> dict[UUID, bytes]:
    """Give what is stored: by standing change, the newest record."""
    rows = await engine.fetch(
        """
        SELECT DISTINCT ON (change_id) change_id, record FROM explanation
        WHERE profile_id = $1 ORDER BY change_id, version DESC
        """,
        profile,
    )
    standing = {it.id for it in engine.timeline("user_id", "ada")}
    return {row["change_id"]: row["record"] for row in rows if row["change_id"] in standing}


async def evaluated(engine: Engine, profile: UUID) -> dict[UUID, bytes]:
    """Fold what is stored of somebody once more, and explain every transition."""
    async with engine.database.transaction() as db:
        past = (await load_pasts(db, [profile]))[profile]
    changes = fold(REACH, order(past.touches), engine.clock.now()).changes
    return {
        change_id(profile, REACH.key, it.at, it.source, it.target, it.cause): pack(
            explain(REACH, it)
        )
        for it in changes
        if it.kind != "start"
    }


@pytest.mark.parametrize("seed", range(3))
async def test_in_any_order_of_arrival_the_stored_reasons_are_those_of_the_whole_history(
    engine: Engine, seed: int
) -> None:
    chance = random.Random(seed)
    ages = sorted((chance.randrange(1, 400) for _ in range(9)), reverse=True)
    sent = [bought(NOW - age * DAY, number) for number, age in enumerate(ages)]
    chance.shuffle(sent)
    ada = profile_id("local", "user_id", "ada")

    for message in sent:
        await engine.send(message)
        await engine.settled()
    engine.clock.set(NOW + HOUR)
    await engine.settled()

    stored = await told(engine, ada)
    assert stored == await evaluated(engine, ada)
    assert len(stored) == len(engine.timeline("user_id", "ada")) - 1


async def test_a_device_that_becomes_hers_gives_her_its_transitions_with_their_reasons(
    engine: Engine,
) -> None:
    ada = profile_id("local", "user_id", "ada")
    await engine.send(
        touchpoint(NOW - 9 * DAY, anonymous="a", event=ORDER),
        touchpoint(NOW - 8 * DAY, anonymous="a", event=ORDER),
        bought(NOW - 2 * DAY, 1),
    )
    await engine.settled()

    await engine.send(touchpoint(NOW - DAY, anonymous="a", user="ada", kind="identify"))
    await engine.settled()

    stored = await told(engine, ada)
    assert stored == await evaluated(engine, ada)
    assert [unpack(it).move for it in stored.values()].count("conversion->retention") == 1


async def test_a_late_touchpoint_that_changes_reasons_alone_is_no_new_stage_change(
    engine: Engine,
) -> None:
    ada = profile_id("local", "user_id", "ada")
    ages = {30: 0, 20: 0, 10: 600}
    await engine.send(
        *(touchpoint(NOW - it * DAY, user="ada", event=ORDER, revenue=ages[it]) for it in ages)
    )
    await engine.settled()
    before, known = await told(engine, ada), engine.timeline("user_id", "ada")

    await engine.send(touchpoint(NOW - 15 * DAY, user="ada", event=ORDER, revenue=50))
    await engine.settled()

    after = await told(engine, ada)
    assert engine.timeline("user_id", "ada") == known
    assert after == await evaluated(engine, ada)
    (loyal,) = [it for it in after if after[it] != before[it]]
    assert [unpack(each[loyal]).guards[1].value for each in (before, after)] == [600, 650]
