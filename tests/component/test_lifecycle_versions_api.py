"""Versions of a lifecycle over HTTP, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx
import pytest

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.clock import SystemClock
from clm_common.runtime.tokens import Verifier, generate_key_pair, jwks
from clm_common.runtime.tokens_keys import keys_of
from clm_common.store.database import Database
from clm_stage_engine import definitions
from clm_stage_engine.api import make_app
from clm_stage_engine.app import make_board
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.governing import Board
from clm_stage_engine.live import Hub
from tests.support.asking import Client, Json
from tests.support.documented import Documented
from tests.support.engine import RUNNING

REACH = (definitions.SHIPPED / "reach.yaml").read_text()
CHANGED = REACH.replace("120d", "90d")


class Asking(Client):
    """Asks with a token that may change definitions, unless it says otherwise."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.keys = generate_key_pair()
        super().__init__(http, self.keys, scope="definitions:write", workspace="local")
        self.http = http

    async def send(
        self, path: str, body: Json, *, scope: str | None = None, workspace: str | None = None
    ) -> httpx.Response:
        return await self.http.post(path, json=body, headers=self.headers(scope, workspace))

    async def made(self, path: str, body: Json) -> Json:
        answer = await self.send(path, body)
        assert answer.status_code in {200, 201}, answer.text
        return answer.json()

    async def refused(self, path: str, body: Json) -> tuple[int, str]:
        answer = await self.send(path, body)
        return answer.status_code, answer.json()["slug"]

    async def seen(self, path: str, workspace: str = "local") -> Json:
        answer = await self.get(path, scope="profiles:read", workspace=workspace)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def board(engine_url: str) -> AsyncGenerator[tuple[Database, Board]]:
    async with Database(engine_url, schema="stage_engine", name="test") as database:
        yield database, make_board(database, RUNNING, shipped())


@pytest.fixture
async def client(board: tuple[Database, Board]) -> AsyncGenerator[Asking]:
    database, rules = board
    documented = Documented("stage-engine")
    http = httpx.AsyncClient(
        base_url="http://t.example.com", event_hooks={"response": [documented]}
    )
    async with http:
        asking = Asking(http)
        verifier = Verifier(keys_of(jwks([asking.keys.public]), None))
        app = make_app(
            database,
            verifier,
            SystemClock(),
            rules,
            Hub(database, SystemClock()),
            producer=MemoryProducer(MemoryBroker()),
        )
        http._transport = httpx.ASGITransport(app)
        yield asking


async def test_a_draft_becomes_a_version_that_decides_and_can_be_taken_back(
    client: Asking, board: tuple[Database, Board]
) -> None:
    before = (await client.seen("/v1/lifecycles"))["lifecycles"][0]

    draft = await client.made("/v1/lifecycles", {"yaml": CHANGED, "note": "shorter"})
    act = await client.made("/v1/lifecycles/reach/versions/2/publish", {"note": "go"})
    await board[1].refresh()
    after = (await client.seen("/v1/lifecycles"))["lifecycles"][0]
    back = await client.made("/v1/lifecycles/reach/rollback", {})
    await board[1].refresh()
    again = (await client.seen("/v1/lifecycles"))["lifecycles"][0]
    history = await client.seen("/v1/lifecycles/reach/history")

    assert (draft["number"], draft["state"], draft["author"]) == (2, "draft", "test")
    assert (act["number"], act["action"], act["note"]) == (2, "publish", "go")
    assert (before["version"], after["version"], again["version"]) == (None, 2, 1)
    assert after["yaml"] == CHANGED
    assert after["definition"] == draft["definition"] != before["definition"]
    assert again["definition"] == before["definition"]
    assert (back["number"], back["action"]) == (1, "rollback")
    assert [(it["number"], it["state"]) for it in history["versions"]] == [
        (2, "retired"),
        (1, "published"),
    ]
    assert [(it["action"], it["number"]) for it in history["publications"]] == [
        ("rollback", 1),
        ("publish", 2),
        ("publish", 1),
    ]
    text = await client.seen("/v1/lifecycles/reach/versions/1")
    assert (text["yaml"], text["author"]) == (REACH, "installation")
    progress = await client.seen("/v1/lifecycles/reach/progress")
    assert (progress["publication"], progress["done"]) == (back["id"], False)


async def test_a_canary_stands_beside_what_is_published(
    client: Asking, board: tuple[Database, Board]
) -> None:
    await client.made("/v1/lifecycles", {"yaml": CHANGED})

    await client.made("/v1/lifecycles/reach/versions/2/publish", {"share": 0.1})
    await board[1].refresh()
    history = await client.seen("/v1/lifecycles/reach/history")

    states = [(it["number"], it["state"], it["share"]) for it in history["versions"]]
    assert states == [(2, "canary", 0.1), (1, "published", None)]
    assert (await client.seen("/v1/lifecycles"))["lifecycles"][0]["version"] == 1
    assert await client.refused("/v1/lifecycles/reach/versions/1/publish", {"share": 0.1}) == (
        409,
        "lifecycle.published",
    )


async def test_what_cannot_be_is_refused_and_says_why(client: Asking) -> None:
    broken = CHANGED.replace("to: retention", "to: retenton")
    told = await client.send("/v1/lifecycles", {"yaml": broken})
    other = (definitions.SHIPPED / "saas.yaml").read_text()

    assert (told.status_code, told.json()["slug"]) == (422, "lifecycle.stage_unknown")
    line = broken[: broken.index("to: retenton")].count("\n") + 1
    assert told.json()["detail"].startswith(f"line {line}: moves[")
    assert "did you mean 'retention'?" in told.text
    assert await client.refused("/v1/lifecycles", {"yaml": other}) == (
        409,
        "lifecycle.not_running",
    )
    assert await client.refused("/v1/lifecycles/reach/versions/7/publish", {}) == (
        404,
        "lifecycle.version_unknown",
    )
    assert await client.refused("/v1/lifecycles/reach/rollback", {}) == (
        409,
        "lifecycle.nothing_before",
    )
    await client.made("/v1/lifecycles", {"yaml": CHANGED})
    await client.made("/v1/lifecycles/reach/versions/2/publish", {})
    assert await client.refused("/v1/lifecycles/reach/versions/2/publish", {}) == (
        409,
        "lifecycle.published",
    )
    for share in (0, 1, -1, 2):
        answer = await client.send("/v1/lifecycles/reach/versions/1/publish", {"share": share})
        assert answer.status_code == 422


async def test_only_who_may_change_definitions_may_and_only_in_the_own_workspace(
    client: Asking, board: tuple[Database, Board]
) -> None:
    await client.made("/v1/lifecycles", {"yaml": CHANGED})
    await client.made("/v1/lifecycles/reach/versions/2/publish", {})
    await board[1].refresh()

    for path in ("/v1/lifecycles", "/v1/lifecycles/reach/versions/1/publish"):
        answer = await client.send(path, {"yaml": CHANGED}, scope="profiles:read")
        assert answer.status_code == 403
    foreign = await client.send("/v1/lifecycles/reach/versions/2/publish", {}, workspace="other")
    assert foreign.status_code == 404
    assert (await client.seen("/v1/lifecycles/reach/history", "other"))["versions"] == []
    other = (await client.seen("/v1/lifecycles", "other"))["lifecycles"][0]
    assert other["version"] is None


RENAMED = REACH.replace("conversion", "customer").replace("aliases: [development]", "aliases: []")


async def test_a_policy_and_a_mapping_say_what_becomes_of_people_in_flight(
    client: Asking, board: tuple[Database, Board]
) -> None:
    await client.made("/v1/lifecycles", {"yaml": RENAMED})
    path = "/v1/lifecycles/reach/versions/2/publish"

    lacking = await client.send(path, {"policy": "map"})
    act = await client.made(path, {"policy": "map", "mapping": {"conversion": "customer"}})
    await board[1].refresh()
    course = board[1].rules.of["local"].whole.course

    assert (lacking.status_code, lacking.json()["slug"]) == (422, "lifecycle.stage_unmapped")
    assert "conversion (0 people)" in lacking.json()["detail"]
    first, second = act["eras"]
    assert (first["number"], first["policy"], first["at"]) == (1, "re-derive", None)
    assert (second["number"], second["policy"], second["at"] is None) == (2, "map", False)
    assert second["stages"]["conversion"] == "customer"
    assert second["stages"]["loyalty"] == "loyalty"
    assert [it.lifecycle.version for it in course.eras] == [1, 2]
    assert (await client.seen("/v1/lifecycles"))["lifecycles"][0]["version"] == 2


async def test_a_pinned_version_can_be_published_again_to_take_everybody_over(
    client: Asking,
) -> None:
    await client.made("/v1/lifecycles", {"yaml": CHANGED})
    path = "/v1/lifecycles/reach/versions/2/publish"

    await client.made(path, {"policy": "pin"})
    assert await client.refused(path, {"share": 0.1}) == (409, "lifecycle.published")
    again = await client.made(path, {"policy": "map"})
    assert await client.refused(path, {"policy": "map"}) == (409, "lifecycle.published")
    back = await client.made("/v1/lifecycles/reach/rollback", {})
    whole = await client.made(path, {})

    assert [it["policy"] for it in again["eras"]] == ["re-derive", "pin", "map"]
    assert [it["policy"] for it in back["eras"]] == ["re-derive", "pin"]
    assert [(it["number"], it["policy"]) for it in whole["eras"]] == [(2, "re-derive")]


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ({"policy": "map", "mapping": {"conversion": "heaven"}}, "lifecycle.stage_unknown"),
        ({"policy": "drain", "mapping": {"heaven": "conversion"}}, "lifecycle.stage_unknown"),
        ({"policy": "pin", "mapping": {"conversion": "loyalty"}}, "lifecycle.mapping_unused"),
        ({"mapping": {"conversion": "loyalty"}}, "lifecycle.mapping_unused"),
        ({"policy": "wish"}, "request.invalid"),
    ],
)
async def test_a_mapping_that_cannot_be_is_refused(client: Asking, body: Json, slug: str) -> None:
    await client.made("/v1/lifecycles", {"yaml": CHANGED})

    assert await client.refused("/v1/lifecycles/reach/versions/2/publish", body) == (422, slug)
