"""What comes later than it may: kept, counted and listed, and the same in every order."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, HOUR, to_rfc3339
from clm_stage_engine.api import make_app
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.housekeeping import drop_late
from clm_stage_engine.live import Hub
from tests.support.asking import Client, Json, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
KEEPING = Keeping(25, days=30, days_of={"till": 60})
ADA = profile_id("local", "user_id", "ada")


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    async with Engine(engine_url, MemoryBroker(), keeping=KEEPING) as running:
        yield running


@pytest.fixture
def client(engine: Engine) -> Client:
    hub = Hub(engine.database, SystemClock())
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, SystemClock(), engine.board, hub, producer=engine.producer
        ),
        scope="profiles:read profiles:export",
    )


def bought(days_ago: int, *, received: int = 0, source: str = "shop") -> Message:
    """Ada bought so many days ago; it was received so many days ago."""
    return touchpoint(
        NOW - days_ago * DAY,
        user="ada",
        event=ORDER,
        received=NOW - received * DAY,
        source=source,
    )


def verdicts() -> dict[str, float]:
    names = ("applied", "repeated", "late", "erased")
    return {it: telemetry.TOUCHPOINTS.labels(it)._value.get() for it in names}


def told(page: Json) -> list[tuple[str, bool]]:
    return [(it["at"], it["late"]) for it in page["touchpoints"]]


def at(days_ago: int) -> str:
    return to_rfc3339(NOW - days_ago * DAY)


async def test_what_is_too_late_is_counted_and_listed_and_changes_nothing(
    engine: Engine, client: Client
) -> None:
    await engine.send(touchpoint(NOW - HOUR, user="ada", kind="page"))
    await engine.settled()
    states, before = await engine.states(), verdicts()

    await engine.send(bought(31), bought(40), touchpoint(NOW - 31 * DAY, user="bob", received=NOW))
    await engine.settled()

    assert await engine.states() == states
    after = verdicts()
    assert {it: after[it] - before[it] for it in after} == {
        "applied": 0, "repeated": 0, "late": 3, "erased": 0,
    }  # fmt: skip
    page = await client.ask("/v1/touchpoints/late", limit="2")
    rest = await client.ask("/v1/touchpoints/late", cursor=page["next"])
    found = [*page["touchpoints"], *rest["touchpoints"]]
    assert rest["next"] is None
    assert sorted((it["touchpoint"]["userId"], it["at"], it["profile_id"]) for it in found) == [
        ("ada", at(40), str(ADA)),
        ("ada", at(31), str(ADA)),
        ("bob", at(31), None),
    ]
    mine = await client.ask(f"/v1/profiles/{ADA}/touchpoints")
    assert told(mine) == [(to_rfc3339(NOW - HOUR), False), (at(31), True), (at(40), True)]
    only = await client.ask(f"/v1/profiles/{ADA}/touchpoints", limit="1")
    assert told(await client.ask(f"/v1/profiles/{ADA}/touchpoints", cursor=only["next"])) == [
        (at(31), True),
        (at(40), True),
    ]
    exported = await client.ask(f"/v1/profiles/{ADA}/export")
    assert [it["at"] for it in exported["late_touchpoints"]] == [at(31), at(40)]
    assert [it["at"] for it in exported["touchpoints"]] == [to_rfc3339(NOW - HOUR)]


async def test_a_source_may_be_allowed_more(engine: Engine, client: Client) -> None:
    await engine.send(bought(31), bought(50, source="till"), bought(61, source="till"))
    await engine.settled()

    assert [it.at for it in engine.timeline("user_id", "ada")][-1:] == [at(50)]
    late = await client.ask("/v1/touchpoints/late", source="till")
    assert [it["at"] for it in late["touchpoints"]] == [at(61)]


async def test_late_evidence_joins_nobody(engine: Engine) -> None:
    await engine.send(
        touchpoint(NOW - HOUR, anonymous="phone", kind="page"),
        touchpoint(NOW - 31 * DAY, anonymous="phone", user="ada", kind="identify", received=NOW),
    )
    await engine.settled()

    assert not await engine.fetch("SELECT FROM identity WHERE link_time IS NOT NULL")
    assert len(await engine.states()) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_copies_in_time_and_too_late_end_alike_in_any_order(
    engine: Engine, client: Client, seed: int
) -> None:
    messages = [bought(31), bought(31, received=20), bought(31), bought(45), bought(45), bought(3)]
    random.Random(seed).shuffle(messages)

    for message in messages:
        await engine.send(message)
        await engine.settled()

    assert next(it.at for it in engine.timeline("user_id", "ada")) == at(31)
    assert (await engine.states())[ADA][1] == 2
    late = await client.ask("/v1/touchpoints/late")
    assert told(late) == [(at(45), True)]
    mine = await client.ask(f"/v1/profiles/{ADA}/touchpoints")
    assert told(mine) == [(at(3), False), (at(31), False), (at(45), True)]


async def test_erasure_and_time_take_late_touchpoints_too(engine: Engine) -> None:
    rows = "SELECT count(*) AS n FROM late_touchpoint"
    await engine.send(bought(1), bought(31), touchpoint(NOW - 50 * DAY, user="bob", received=NOW))
    await engine.settled()
    assert (await engine.fetch(rows))[0]["n"] == 2

    await engine.erase("user_id", "ada")
    assert (await engine.fetch(rows))[0]["n"] == 1
    now = SystemClock().now()
    await drop_late(engine.database, KEEPING, now)
    assert (await engine.fetch(rows))[0]["n"] == 1
    await drop_late(engine.database, KEEPING, now + 26 * 31 * DAY)

    assert (await engine.fetch(rows))[0]["n"] == 0
