"""Several lifecycles at once over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest

from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, HOUR, to_rfc3339
from clm_common.runtime.tokens import Verifier, generate_key_pair, jwks
from clm_common.runtime.tokens_keys import keys_of
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from clm_stage_engine.store import eras, runs
from tests.support.asking import Client, Json
from tests.support.documented import Documented
from tests.support.engine import NOW
from tests.support.several import SHOP, Several
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
ADA = profile_id("local", "user_id", "ada")
SCOPE = "profiles:read profiles:write profiles:export definitions:write"


class World:
    """A running engine and its API."""

    def __init__(self, several: Several, http: httpx.AsyncClient) -> None:
        self.several, self.http = several, http
        keys = generate_key_pair()
        self.client = Client(http, keys, scope=SCOPE, workspace="local")
        engine = several.engine
        app = make_app(
            several.database,
            Verifier(keys_of(jwks([keys.public]), None)),
            engine.clock,
            several.board,
            Hub(several.database, engine.clock),
            producer=engine.producer,
        )
        http._transport = httpx.ASGITransport(app)

    async def ask(self, path: str, status: int = 200) -> Json:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def tell(self, path: str, body: Json, status: int = 200) -> Json:
        answer = await self.http.post(path, json=body, headers=self.client.headers())
        assert answer.status_code == status, answer.text
        await self.several.board.refresh()
        return answer.json()


@pytest.fixture
async def world(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[World]:
    monkeypatch.setattr(runs, "SETTLED", 0.0)
    monkeypatch.setattr(eras, "SETTLED", 0.0)
    several = Several(engine_url, tmp_path / "lifecycles")
    documented = Documented("stage-engine")
    http = httpx.AsyncClient(
        base_url="http://t.example.com", event_hooks={"response": [documented]}
    )
    async with several.database, several.engine, http:
        await several.engine.send(
            *(touchpoint(NOW - n * DAY, user="ada", event=ORDER) for n in (1, 2, 3)),
            touchpoint(NOW - DAY, user="bob", event="Signed Up"),
        )
        await several.settled()
        yield World(several, http)


async def test_a_lifecycle_is_started_shown_everywhere_and_stopped(world: World) -> None:
    alone = await world.ask(f"/v1/profiles/{ADA}")
    assert list(alone["lifecycles"]) == ["reach"]

    run = await world.tell("/v1/lifecycles/shop/start", {"note": "why not"})
    await world.several.swept(run["id"])

    profile = await world.ask(f"/v1/profiles/{ADA}")
    assert profile["stage"] == alone["stage"]
    stages = {key: it["stage"] for key, it in profile["lifecycles"].items()}
    assert stages == {"reach": alone["stage"], "shop": "retention"}
    listed = await world.ask("/v1/lifecycles")
    assert [it["key"] for it in listed["lifecycles"]] == ["reach", "shop"]
    counted = await world.ask("/v1/stages?lifecycle=shop")
    people = {it["stage"]: it["people"] for it in counted["stages"]}
    assert people == {"seen": 1, "buyer": 0, "retention": 1, "gone": 0}
    found = await world.ask("/v1/profiles?stage=retention&lifecycle=shop")
    assert [it["id"] for it in found["profiles"]] == [str(ADA)]
    progress = await world.ask("/v1/lifecycles/shop/progress")
    assert (progress["publication"], progress["done"]) == (run["id"], True)

    stopped = await world.tell("/v1/lifecycles/shop/stop", {})
    await world.several.swept(stopped["id"])

    assert await world.ask(f"/v1/profiles/{ADA}") == alone | {"version": profile["version"] + 1}
    refused = await world.ask("/v1/stages?lifecycle=shop", 404)
    assert refused["slug"] == "lifecycle.not_running"
    assert (await world.tell("/v1/lifecycles/shop/stop", {}, 409))["slug"] == "lifecycle.stopped"
    assert (await world.tell("/v1/lifecycles/reach/stop", {}, 409))["slug"] == "lifecycle.main"
    assert (await world.tell("/v1/lifecycles/none/start", {}, 404))["slug"] == "lifecycle.unknown"


async def test_what_was_started_a_moment_ago_can_be_published_at_once(world: World) -> None:
    headers = world.client.headers()  # nobody has read the publications anew in between
    started = await world.http.post("/v1/lifecycles/shop/start", json={}, headers=headers)
    assert started.status_code == 200, started.text

    draft = {"yaml": SHOP.replace("nth: 3", "nth: 2")}
    kept = await world.http.post("/v1/lifecycles", json=draft, headers=headers)
    assert (kept.status_code, kept.json()["number"]) == (201, 2)
    path = "/v1/lifecycles/shop/versions/2/publish"
    published = await world.http.post(path, json={}, headers=headers)

    assert (published.status_code, published.json()["number"]) == (200, 2)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/stages?lifecycle=shop",
        "/v1/profiles?stage=buyer&lifecycle=shop",
        f"/v1/profiles/{ADA}/explain?lifecycle=shop",
    ],
)
async def test_what_another_process_has_started_a_moment_ago_can_be_asked_for(
    world: World, path: str
) -> None:
    async with world.several.database.transaction() as tx:
        await runs.act(tx, "local", "shop", "start", ("ada", ""))

    await world.ask(path)


async def test_people_can_be_moved_in_what_another_process_has_started_a_moment_ago(
    world: World,
) -> None:
    async with world.several.database.transaction() as tx:
        await runs.act(tx, "local", "shop", "start", ("ada", ""))

    move = {"to": "gone", "lifecycle": "shop", "reason": "they told us"}
    await world.tell(f"/v1/profiles/{ADA}/moves", move, 202)


async def test_timeline_reasons_and_the_past_are_told_by_lifecycle(world: World) -> None:
    await world.several.swept((await world.tell("/v1/lifecycles/shop/start", {}))["id"])

    both = await world.ask(f"/v1/profiles/{ADA}/timeline")
    mine = await world.ask(f"/v1/profiles/{ADA}/timeline?lifecycle=shop")
    why = await world.ask(f"/v1/profiles/{ADA}/explain?lifecycle=shop")
    main = await world.ask(f"/v1/profiles/{ADA}/explain")
    then = await world.ask(f"/v1/profiles/{ADA}?as_of={to_rfc3339(NOW - 2 * DAY + HOUR)}")

    def keys(page: Json) -> set[str | None]:
        return {it["lifecycle"] for it in page["entries"]}

    assert (keys(both), keys(mine)) == ({None, "reach", "shop"}, {None, "shop"})
    assert [it["target"] for it in why["transitions"]] == ["retention", "buyer", "seen"]
    assert why["transitions"][0]["why"]["lifecycle"] == "shop"
    assert (why["outlook"]["stage"], why["outlook"]["next"]["move"]) == ("retention", "lapsed")
    assert {it["lifecycle"] for it in main["transitions"]} == {"reach"}
    stages = {key: it["stage"] for key, it in then["lifecycles"].items()}
    assert stages == {"reach": then["stage"], "shop": "buyer"}
    due = await world.ask(f"/v1/deadlines?before={to_rfc3339(NOW + 365 * DAY)}")
    assert {(it["lifecycle"], it["then"] and it["then"]["move"]) for it in due["deadlines"]} >= {
        ("shop", "lapsed")
    }


async def test_somebody_is_moved_by_hand_in_one_lifecycle_alone(world: World) -> None:
    await world.several.swept((await world.tell("/v1/lifecycles/shop/start", {}))["id"])
    before = await world.ask(f"/v1/profiles/{ADA}")
    move = {"to": "gone", "reason": "told us", "lifecycle": "shop"}

    await world.tell(f"/v1/profiles/{ADA}/moves", move, 202)
    await world.several.settled()

    after = await world.ask(f"/v1/profiles/{ADA}")
    assert after["stage"] == before["stage"]
    assert after["lifecycles"]["reach"] == before["lifecycles"]["reach"]
    assert after["lifecycles"]["shop"]["stage"] == "gone"
    assert (await world.tell(f"/v1/profiles/{ADA}/moves", move, 409))["slug"] == "move.there"


async def test_a_workspace_publishes_a_lifecycle_of_its_own_beside_the_main_one(
    world: World,
) -> None:
    own = SHOP.replace("key: shop", "key: own")
    refused = await world.tell("/v1/lifecycles", {"yaml": own}, 409)
    assert refused["slug"] == "lifecycle.not_running"
    draft = await world.tell("/v1/lifecycles", {"yaml": own, "beside": True}, 201)
    path = f"/v1/lifecycles/own/versions/{draft['number']}/publish"
    canary = await world.tell(path, {"beside": True, "share": 0.5}, 409)
    assert (draft["number"], canary["slug"]) == (1, "lifecycle.first")

    await world.tell(path, {"beside": True})
    await world.several.swept()
    await world.several.agrees("own")
    second = await world.tell("/v1/lifecycles", {"yaml": own.replace("nth: 3", "nth: 2")}, 201)
    await world.tell(f"/v1/lifecycles/own/versions/{second['number']}/publish", {})
    await world.several.swept()

    await world.several.agrees("own")
    assert 2 in {it.lifecycle_version for it in world.several.standing(ADA)}
    await world.tell("/v1/lifecycles/own/rollback", {})
    await world.several.swept()
    await world.several.agrees("own")
    assert 2 not in {it.lifecycle_version for it in world.several.standing(ADA)}
    exported = await world.ask(f"/v1/profiles/{ADA}/export")
    assert set(exported["profile"]["lifecycles"]) == {"reach", "own"}
