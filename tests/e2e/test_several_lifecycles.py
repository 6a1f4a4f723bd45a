"""Two lifecycles through all four services on real servers: the main one is what is meant."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
import pytest_asyncio

from clm_common.contracts.ids import profile_id
from clm_common.instant import to_rfc3339
from tests.support.endpoints import Endpoint, endpoint
from tests.support.engagement import write_journeys
from tests.support.ingest import until
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import service
from tests.support.servers import DatabaseServer
from tests.support.several import SHOP

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

BEHIND: Final = ("metrics", "engagement")
STAGES: Final = {"seen", "buyer", "retention"}
"""Where somebody who orders three times has been, in the main lifecycle."""

Json = Any  # Any: what an answer holds


def journeys(folder: Path) -> Path:
    """Write two journeys: one names no lifecycle, the other the one beside."""
    written = write_journeys(folder)
    text = (written / "welcome.yaml").read_text()
    plain = text.replace("lifecycle: reach\n", "").replace(", from: [reach, null]", "")
    for name, its in {
        "thanks": plain.replace("acquisition", "buyer"),
        "regular": plain.replace("acquisition", "retention"),
        "reader": text.replace("enters: acquisition, from: [reach, null]", "enters: retention"),
    }.items():
        (written / f"{name}.yaml").write_text(its.replace("key: welcome", f"key: {name}", 1))
        shutil.copytree(written / "welcome", written / name)
    (written / "welcome.yaml").unlink()
    return written


class World:
    """The services, what they were told, and the end of a webhook."""

    def __init__(self, running: Pipeline, urls: Mapping[str, str], folder: Path) -> None:
        self.running, self.urls, self.folder = running, urls, folder
        self.workspace = running.ingest.workspace
        self.posts: Endpoint
        self.stream: list[Json] = []

    async def ask(self, name: str, path: str, **params: str) -> Json:
        """Ask a service what it must answer."""
        async with httpx.AsyncClient(base_url=self.urls[name], timeout=30) as http:
            token = self.running.ingest.token()
            answer = await http.get(path, params=params, headers=token)
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def subscribe(self) -> None:
        """Ask for what enters or leaves `retention`, a stage of both lifecycles."""
        body = {"name": "regulars", "url": self.posts.url, "filter": {"targets": ["retention"]}}
        async with httpx.AsyncClient(base_url=self.urls["stage_engine"], timeout=30) as http:
            made = await http.post("/v1/webhooks", json=body, headers=self.running.ingest.token())
            assert made.status_code == 201, made.text

    async def listen(self, **params: str) -> None:
        """Follow the live stream until leaving."""
        token = self.running.ingest.token()
        async with (
            httpx.AsyncClient(base_url=self.urls["stage_engine"], timeout=300) as http,
            http.stream("GET", "/v1/stream", params=params, headers=token) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith("data: ") and line != "data: ":
                    self.stream.append(json.loads(line.removeprefix("data: ")))

    async def buy(self) -> None:
        """Let ada become known and order three times."""
        key, now = await self.running.ingest.create_source(), time.time_ns() // 1000
        known: dict[str, object] = {"traits": {"email": "ada@example.com"}, "type": "identify"}
        order: dict[str, object] = {"type": "track", "event": "Order Completed"}
        events = [
            {**it, "messageId": f"m{n}", "userId": "ada", "timestamp": to_rfc3339(now - (5 - n))}
            for n, it in enumerate([known, order, order, order])
        ]
        answer = await self.running.ingest.http.post(
            "/v1/batch", json={"batch": events}, auth=(key, "")
        )
        assert answer.status_code == 200, answer.text

    async def are_counted(self) -> bool:
        funnels = (await self.ask("metrics", "/v1/stages"))["lifecycles"]
        people = {(f["lifecycle"], s["stage"]): s["people"] for f in funnels for s in f["stages"]}
        return bool(people.get(("shop", "retention")) and people.get(("reach", "retention")))

    async def messages(self) -> set[str]:
        """Give the journeys that planned a message."""
        found = await self.ask("engagement", "/v1/messages")
        return {it["journey"] for it in found["messages"]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    server_home: Path,
    database_server: DatabaseServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[World]:
    """Run everything with `shop` as the main lifecycle and `reach` beside it, and let ada buy."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "lifecycles").mkdir()
    (folder / "lifecycles" / "shop.yaml").write_text(SHOP)
    told = {
        "CLM_LIFECYCLE": "shop, reach",
        "CLM_LIFECYCLE_DIR": str(folder / "lifecycles"),
        "CLM_JOURNEY_DIR": str(journeys(folder / "journeys")),
        "CLM_SMTP_URL": "smtp://127.0.0.1:9",
        "CLM_SECRETS_KEY": "k" * 32,
        "CLM_WEBHOOKS_HTTP": "true",
        "CLM_WEBHOOKS_PRIVATE": "true",
    }
    databases = {name: await database_server.create() for name in BEHIND}
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(pipeline(server_home, database_server, told=told))
        urls = {"stage_engine": running.engine.url}
        for name in BEHIND:
            its = service(f"clm_{name}", running.behind(databases[name]))
            urls[name] = (await stack.enter_async_context(its)).url
        made = World(running, urls, folder)
        made.posts = await stack.enter_async_context(endpoint())
        await until(lambda: _is_ready(urls["stage_engine"]))
        await made.subscribe()
        await stack.enter_async_context(beside(made.listen(lifecycle="reach")))
        await made.buy()
        await until(made.are_counted)
        yield made
    for url in databases.values():
        await database_server.drop(url)


@asynccontextmanager
async def beside(doing: Coroutine[None, None, None]) -> AsyncGenerator[None]:
    """Do something until leaving."""
    task = asyncio.create_task(doing)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _is_ready(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        return (await http.get("/ready")).is_success


async def test_a_person_stands_in_both_and_the_main_one_is_their_stage(world: World) -> None:
    ada = profile_id(world.workspace, "user_id", "ada")

    found = await world.ask("stage_engine", f"/v1/profiles/{ada}")

    assert found["stage"] == "retention"
    assert {key: it["stage"] for key, it in found["lifecycles"].items()} == {
        "shop": "retention",
        "reach": "retention",
    }
    assert next(iter(found["lifecycles"])) == "shop"


async def test_figures_are_of_the_main_one_unless_another_is_named(world: World) -> None:
    main = await world.ask("metrics", "/v1/kpis/stage-entries")
    other = await world.ask("metrics", "/v1/kpis/stage-entries", lifecycle="reach")

    assert (main["lifecycle"], {it["stage"] for it in main["series"]}) == ("shop", STAGES)
    assert other["lifecycle"] == "reach"
    assert "conversion" in {it["stage"] for it in other["series"]}


async def test_a_journey_is_of_the_main_one_unless_it_names_another(world: World) -> None:
    async def are_planned() -> bool:
        return await world.messages() == {"thanks", "regular", "reader"}

    await until(are_planned)
    shown = await world.ask("engagement", "/v1/journeys")
    assert {it["key"]: it["lifecycle"] for it in shown["journeys"]} == {
        "thanks": "shop",
        "regular": "shop",
        "reader": "reach",
    }


async def test_a_webhook_of_stages_that_both_have_keeps_to_the_main_one(world: World) -> None:
    await world.posts.received(1)

    async def are_streamed() -> bool:
        return "retention" in {it["target"] for it in world.stream}

    await until(are_streamed)  # the other lifecycle's change was published, too
    posted = [msgspec.json.decode(it.body)["data"] for it in world.posts.posts]
    assert [(it["lifecycle"], it["target"]) for it in posted] == [("shop", "retention")]


async def test_the_live_stream_shows_the_lifecycle_that_is_asked_for(world: World) -> None:
    async def are_streamed() -> bool:
        return "retention" in {it["target"] for it in world.stream}

    await until(are_streamed)
    assert {it["lifecycle"] for it in world.stream} == {"reach"}


async def test_a_diff_holds_a_changed_lifecycle_against_the_one_of_its_key(world: World) -> None:
    folder = world.folder / "tried"
    folder.mkdir()
    found = dict[str, Json]()
    reach = (Path(__file__).parents[2] / REACH).read_text()
    for key, text in {"shop": SHOP, "reach": reach}.items():
        (folder / f"{key}.yaml").write_text(text)
        found[key] = await diff(world, folder / f"{key}.yaml")

    assert [(it["people"], it["moved"], it["stage_changes"]) for it in found.values()] == [
        (1, [], [])
    ] * 2


REACH: Final = "services/stage-engine/src/clm_stage_engine/lifecycles/reach.yaml"


async def diff(world: World, file: Path) -> Json:
    """Run the program on what the engine has stored."""
    inherited = {name: text for name, text in os.environ.items() if name[:4] != "CLM_"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "clm_stage_engine.changing.diff", str(file), "--json"),
        env=inherited | dict(world.running.environment),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(out)
