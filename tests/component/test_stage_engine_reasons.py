"""Reasons over HTTP: why somebody is in their stage, what they lack, and what one believed."""

from __future__ import annotations

from datetime import datetime

import pytest

from clm_common.clock import ManualClock, SystemClock
from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, to_rfc3339
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
ADA = f"/v1/profiles/{profile_id('local', 'user_id', 'ada')}"


@pytest.fixture
def clock() -> ManualClock:
    """The API's clock; the engine has one of its own."""
    return ManualClock(NOW)


@pytest.fixture
def client(engine: Engine, clock: ManualClock) -> Client:
    hub = Hub(engine.database, SystemClock())
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, clock, engine.board, hub, producer=engine.producer
        ),
        scope="profiles:read",
    )


async def buys(engine: Engine, **revenue_by_age: int) -> None:
    """Let ada buy so many days ago: `d30=100`."""
    await engine.send(
        *(
            touchpoint(NOW - int(age[1:]) * DAY, user="ada", event=ORDER, revenue=revenue)
            for age, revenue in revenue_by_age.items()
        )
    )
    await engine.settled()


async def test_every_transition_is_explained_by_rule_cause_and_guards(
    engine: Engine, client: Client
) -> None:
    await buys(engine, d200=100, d190=50)
    await engine.send(touchpoint(NOW - 9 * DAY, user="ada", event="Product Viewed"))
    await engine.settled()

    found = await client.ask(f"{ADA}/explain")

    lapsed, retained, bought, begun = found["transitions"]
    assert (lapsed["why"]["kind"], lapsed["cause"]) == ("deadline", None)
    assert lapsed["why"]["guards"] == [
        {"condition": "no Order Completed for 120d", "value": "120d", "holds": True}
    ]
    assert retained["why"]["cause"] == retained["cause"]
    assert retained["why"]["guards"][0]["value"] == 2
    assert [it["move"] for it in retained["why"]["nearest"]] == ["lapsed"]
    assert (bought["source"], bought["target"]) == ("reach", "conversion")
    assert bought["why"]["definition"] == engine.lifecycle.digest
    assert (begun["source"], begun["why"]) == (None, None)
    assert found["next"] is None


async def test_the_outlook_says_what_is_lacking_and_when_time_alone_moves_her(
    engine: Engine, client: Client
) -> None:
    await buys(engine, d30=100, d20=50)

    ahead = (await client.ask(f"{ADA}/explain"))["outlook"]

    assert ahead["stage"] == "retention"
    assert ahead["next"]["target"] == "acquisition"
    assert _instant(ahead["next"]["due"]) == _instant(to_rfc3339(NOW + 100 * DAY))
    lapse = next(it for it in ahead["moves"] if it["move"] == "lapsed")
    assert lapse["due"] == ahead["next"]["due"]
    loyal = next(it for it in ahead["moves"] if it["target"] == "loyalty")
    assert (loyal["due"], loyal["unmet"][0]["value"]) == (None, 2)


async def test_pages_of_reasons_meet_without_a_gap_and_only_the_first_looks_ahead(
    engine: Engine, client: Client
) -> None:
    await buys(engine, d200=100, d190=50, d5=1)
    whole = await client.ask(f"{ADA}/explain")

    pages = [await client.ask(f"{ADA}/explain", limit="2")]
    while pages[-1]["next"] is not None:
        pages.append(await client.ask(f"{ADA}/explain", limit="2", cursor=pages[-1]["next"]))

    assert [it for page in pages for it in page["transitions"]] == whole["transitions"]
    assert [page["outlook"] is None for page in pages] == [False, *[True] * (len(pages) - 1)]
    assert len(pages) == 3


async def test_the_timeline_gives_the_same_reasons_when_asked(
    engine: Engine, client: Client
) -> None:
    await buys(engine, d30=100, d20=50)
    explained = await client.ask(f"{ADA}/explain")

    asked = await client.ask(f"{ADA}/timeline", explain="true")
    plain = await client.ask(f"{ADA}/timeline")

    whys = [it["why"] for it in asked["entries"] if it["kind"] == "stage_changed"]
    assert whys == [it["why"] for it in reversed(explained["transitions"])]
    assert {it["why"] for it in plain["entries"]} == {None}


async def test_reasons_are_told_as_they_were_believed_before_a_late_touchpoint(
    engine: Engine, client: Client, clock: ManualClock
) -> None:
    await buys(engine, d30=0, d20=0, d10=600)
    (row,) = await engine.fetch("SELECT max(recorded_at) AS at FROM explanation")
    await buys(engine, d15=50)
    clock.set(SystemClock().now())

    then = await client.ask(f"{ADA}/explain", recorded=row["at"].isoformat())
    now = await client.ask(f"{ADA}/explain")

    sums = [it["transitions"][0]["why"]["guards"][1]["value"] for it in (then, now)]
    assert sums == [600, 650]
    assert then["outlook"] is None


async def test_reasons_need_the_right_to_read_profiles_of_their_own_workspace(
    engine: Engine, client: Client
) -> None:
    await buys(engine, d30=0)

    assert (await client.get(f"{ADA}/explain", scope="metrics:read")).status_code == 403
    assert (await client.get(f"{ADA}/explain", workspace="other")).status_code == 404
    assert (await client.get(f"{ADA}/explain", {"cursor": "x"})).status_code == 400


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
