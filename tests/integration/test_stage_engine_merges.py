"""Merging people in the engine on a real PostgreSQL: aliases, the river, and what follows it."""

from __future__ import annotations

import pytest

from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import IdentityMoved
from clm_common.instant import DAY, HOUR
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import alias, touchpoint

ORDER = "Order Completed"


def stages(engine: Engine, user: str) -> list[str]:
    return [change.target for change in engine.timeline("user_id", user)]


async def test_an_alias_gives_the_former_id_s_history_to_the_customer(engine: Engine) -> None:
    await engine.send(
        touchpoint(NOW - 9 * HOUR, user="old", event=ORDER),
        touchpoint(NOW - 5 * HOUR, user="new", event=ORDER),
    )
    await engine.settled()

    await engine.send(alias(NOW - HOUR, user="new", previous="old"))
    await engine.settled()

    assert stages(engine, "old") == []
    assert stages(engine, "new") == ["reach", "conversion", "retention"]
    moves = [it for it in engine.facts() if isinstance(it, IdentityMoved)]
    assert [(it.emptied, it.moves) for it in moves] == [(True, 1), (True, 1)]


async def test_an_alias_takes_the_devices_along_and_what_they_send_later(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - 9 * HOUR, user="old", anonymous="phone", kind="identify"))
    await engine.settled()
    await engine.send(alias(NOW - 5 * HOUR, user="new", previous="old"))
    await engine.settled()

    await engine.send(touchpoint(NOW - HOUR, anonymous="phone", event=ORDER))
    await engine.send(touchpoint(NOW - HOUR // 2, user="old", event=ORDER))
    await engine.settled()

    assert stages(engine, "new") == ["reach", "acquisition", "conversion", "retention"]
    assert stages(engine, "old") == []


async def test_an_alias_of_a_device_s_id_gives_the_device_to_the_customer(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - 9 * HOUR, anonymous="phone", kind="page"))
    await engine.settled()

    await engine.send(alias(NOW - HOUR, user="new", previous="phone"))
    await engine.settled()

    assert engine.timeline("anonymous_id", "phone") == []
    assert stages(engine, "new") == ["reach"]


@pytest.mark.parametrize("previous", ["new", "undefined", None, ""])
async def test_an_alias_of_oneself_or_of_nobody_merges_nobody(
    engine: Engine, previous: str | None
) -> None:
    await engine.send(touchpoint(NOW - 9 * HOUR, user="other", event=ORDER))

    await engine.send(alias(NOW - HOUR, user="new", previous=previous))
    await engine.settled()

    assert stages(engine, "other") == ["reach", "conversion"]
    assert await engine.fetch("SELECT id FROM decision") == []


async def test_a_ring_of_aliases_ends_with_one_person(engine: Engine) -> None:
    names = ["a", "b", "c"]
    await engine.send(*(touchpoint(NOW - 9 * HOUR, user=it, event=ORDER) for it in names))
    await engine.settled()

    for number, (one, other) in enumerate(zip(names, [*names[1:], names[0]], strict=True)):
        await engine.send(alias(NOW - HOUR + number, user=one, previous=other))
    await engine.settled()

    assert [bool(stages(engine, it)) for it in names] == [True, False, False]


async def test_aliases_repeated_at_each_login_are_one_decision(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - 9 * DAY, user="old", event=ORDER))

    for day in (3, 2, 5):
        await engine.send(alias(NOW - day * DAY, user="new", previous="old"))
        await engine.settled()

    rows = await engine.fetch("SELECT at, members FROM decision")
    assert len(rows) == 1
    assert rows[0]["members"][0] == profile_id("local", "user_id", "new")
    assert stages(engine, "new") == ["reach", "conversion"]
