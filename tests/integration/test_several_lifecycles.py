"""Several lifecycles at once in a running engine, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from uuid import UUID

import pytest

from clm_common.bus.ports import Message
from clm_common.contracts.ids import profile_id
from clm_common.contracts.stage_change import StageChange
from clm_common.errors import Rejected
from clm_common.instant import DAY, HOUR
from clm_stage_engine import sweeping
from clm_stage_engine.store import runs
from tests.support.engine import NOW, Engine
from tests.support.several import Several
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
PEOPLE = 24


def crowd(first: int = 0, count: int = PEOPLE, workspace: str = "local") -> list[Message]:
    """Person number n came by a device and ordered n % 5 times, up to 70 days ago."""
    found: list[Message] = []
    for number in range(first, first + count):
        began, user = NOW - (number * 3 + 1) * DAY, f"u{number}"
        found.append(touchpoint(began, anonymous=f"d{number}", kind="page", workspace=workspace))
        found.append(
            touchpoint(
                began + HOUR,
                anonymous=f"d{number}",
                user=user,
                kind="identify",
                workspace=workspace,
            )
        )
        found += [
            touchpoint(began + (2 + at) * HOUR, user=user, event=ORDER, workspace=workspace)
            for at in range(number % 5)
        ]
    return found


@pytest.fixture
async def several(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Several]:
    monkeypatch.setattr(runs, "SETTLED", 0.0)
    monkeypatch.setattr(sweeping, "LENGTH", 9)  # several stretches
    made = Several(engine_url, tmp_path / "lifecycles")
    async with made.database, made.engine:
        yield made


async def peopled(several: Several) -> None:
    await several.engine.send(*crowd())
    await several.settled()


def told(several: Several, key: str) -> list[StageChange]:
    return [
        it for it in several.engine.facts() if isinstance(it, StageChange) and it.lifecycle == key
    ]


async def test_a_lifecycle_that_starts_folds_everybodys_history_and_leaves_the_main_one_alone(
    several: Several,
) -> None:
    await peopled(several)
    main = told(several, "reach")
    assert not told(several, "shop")

    run = await several.act("start")
    await several.swept(run.id)

    past = await several.agrees("shop")
    assert told(several, "reach") == main
    assert past == len(told(several, "shop")) > PEOPLE  # nobody is written to because of it
    assert await several.engine.fetch("SELECT DISTINCT lifecycle FROM profile_standing") == [
        {"lifecycle": "shop"}
    ]


async def test_a_lifecycle_that_stops_takes_its_timeline_back_and_may_start_again(
    several: Several,
) -> None:
    await peopled(several)
    await several.swept((await several.act("start")).id)

    await several.swept((await several.act("stop")).id)
    await several.agrees()
    assert not await several.engine.fetch("SELECT FROM profile_standing")
    await several.swept((await several.act("start")).id)

    await several.agrees("shop")


async def test_new_late_and_repeated_touchpoints_reach_every_lifecycle(several: Several) -> None:
    await several.configure("saas", "shop")
    await several.engine.send(*crowd(count=12))
    await several.settled()
    await several.agrees("saas", "shop")
    await several.engine.send(
        *(touchpoint(NOW - 90 * DAY, user=f"u{n}", event=ORDER) for n in range(0, 12, 3)),
        *(touchpoint(NOW - n * HOUR, user=f"u{n}", event="Signed Up") for n in range(1, 12, 3)),
        *crowd(4, 2),
    )

    await several.settled()

    assert await several.agrees("saas", "shop") == 0  # nobody was known when they began
    assert len(await several.engine.fetch("SELECT FROM history")) == len(crowd(count=12)) + 8
    place = await several.replayed()
    assert place.differed == {}


async def test_deadlines_of_each_lifecycle_fire_at_their_own_instant(several: Several) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=10))
    await several.settled()
    before = len(told(several, "shop"))

    several.engine.clock.set(NOW + 40 * DAY)
    await several.settled()

    await several.agrees("shop")
    lapsed = [it for it in told(several, "shop")[before:] if it.move == "lapsed"]
    assert lapsed
    assert all(it.cause is None for it in lapsed)
    assert (await several.replayed()).differed == {}


async def test_merged_and_parted_people_stand_in_every_lifecycle_as_if_always_so(
    several: Several,
) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=5))
    await several.engine.send(
        touchpoint(NOW - 20 * DAY, anonymous="late-device", event=ORDER),
        touchpoint(NOW - 19 * DAY, anonymous="late-device", event=ORDER),
    )
    await several.settled()
    device = UUID(str(profile_id("local", "anonymous_id", "late-device")))
    assert {it.lifecycle for it in several.standing(device)} == {"reach", "shop"}

    await several.engine.send(
        touchpoint(NOW - HOUR, anonymous="late-device", user="u4", kind="identify")
    )
    await several.settled()

    await several.agrees("shop")
    assert several.standing(device) == []
    assert not await several.engine.fetch(
        "SELECT FROM profile_standing WHERE profile_id = $1", device
    )


async def test_an_erased_person_stands_nowhere_and_one_who_comes_again_stands_everywhere(
    several: Several,
) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=5))
    await several.settled()

    await several.engine.erase("user_id", "u3")
    gone = UUID(str(profile_id("local", "user_id", "u3")))
    assert not await several.engine.fetch("SELECT FROM profile_standing WHERE profile_id=$1", gone)
    several.engine.clock.set(NOW + 2 * HOUR)
    await several.engine.send(touchpoint(NOW + HOUR, user="u3", event=ORDER))
    await several.settled()

    await several.agrees("shop")


async def test_a_workspaces_own_word_counts_before_the_installations(several: Several) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=4), *crowd(count=4, workspace="acme"))
    await several.settled()

    await several.swept((await several.act("stop", workspace="acme")).id)
    await several.swept((await several.act("start", "saas", workspace="acme")).id)

    await several.agrees("shop")
    await several.agrees("saas", workspace="acme")
    with pytest.raises(Rejected, match="runs already"):
        await several.act("start", "shop")
    with pytest.raises(Rejected, match="does not run"):
        await several.act("stop", "saas")


async def test_settings_that_name_a_lifecycle_no_longer_stop_it(several: Several) -> None:
    await several.configure("shop", "saas")
    await several.engine.send(*crowd(count=6))
    await several.settled()

    await several.configure("saas")
    await several.configure("saas")  # every process says so when it starts
    await several.swept()

    await several.agrees("saas")
    assert len(await several.engine.fetch("SELECT FROM lifecycle_run")) == 3


async def test_a_damaged_standing_is_found_and_mended(several: Several) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=6))
    await several.settled()
    async with several.database.transaction() as tx:
        await tx.execute("UPDATE profile_standing SET definition = 'x' WHERE stage = 'buyer'")

    place = await several.replayed()

    assert sum(place.differed.values()) > 0
    assert set(place.differed) == {"definition"}


async def test_another_engine_goes_on_from_the_rows(several: Several, engine_url: str) -> None:
    await several.configure("shop")
    await several.engine.send(*crowd(count=8))
    await several.settled()
    await several.engine.crash()

    async with Engine(engine_url, several.broker, owner="engine-2", lifecycle=several.board) as e:
        await e.send(*(touchpoint(NOW - n * HOUR, user=f"u{n}", event=ORDER) for n in range(1, 8)))
        several.engine = e
        await several.settled()
        await several.agrees("shop")
        assert (await several.replayed()).differed == {}
