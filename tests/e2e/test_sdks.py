"""The SDKs of Segment, RudderStack, Jitsu and PostHog, unchanged, on Node and in a real Chromium.

Every call succeeds by the SDK's own account, and every event is on the river once. `CLM_TEST_SDKS`
tries other versions than the locked ones: `newest`, or `oldest` as `package.json` names them.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from tests.support import node
from tests.support.browser import Site, visitor, website
from tests.support.ingest import IngestProcess
from tests.support.journey import applied
from tests.support.pipeline import Pipeline, pipeline
from tests.support.sdks import bundle, workshop
from tests.support.servers import DatabaseServer

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(420),
]

Json = dict[str, Any]  # Any: JSON

SENT = {"identify": 1, "track": 20, "page": 1, "group": 1, "alias": 1, "screen": 1}
BATCHING = {"batch": {"enabled": True, "maxItems": 5, "flushInterval": 500}}
BEACONS = {"useBeacon": True, "beaconQueueOptions": {"maxItems": 5}}
NOT_IN = {"jitsu": {"alias", "screen"}, "rudder-browser": {"screen"}}


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop(tmp_path_factory.mktemp("sdks"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(server_home: Path, database_server: DatabaseServer) -> AsyncGenerator[Pipeline]:
    everything = {"CLM_INGEST_POSTHOG": "true"}
    async with pipeline(server_home, database_server, environment=everything) as running:
        yield running


@pytest.fixture
def shop(running: Pipeline) -> IngestProcess:
    running.ingest.renew_workspace()
    return running.ingest


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(sdks: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Site]:
    """Serve a page for each browser SDK."""
    bundles = tmp_path_factory.mktemp("bundles")
    scripts = (sdks / "browser").glob("*.js")
    await asyncio.to_thread(bundle, sdks, scripts, bundles)
    async with website() as site:
        for file in bundles.glob("*.js"):
            site.pages[f"/{file.name}"] = file.read_text()
            script = f'<script src="/{file.name}"></script>'
            site.pages[f"/{file.stem}"] = f"<title>Shop</title>{script}"
        yield site


async def plainly(route: Route) -> None:
    """Pass on by http what an older SDK sends by https alone; a handler of playwright's."""
    url = route.request.url.replace("https://", "http://", 1)
    await route.fulfill(response=await route.fetch(url=url))


def in_browsers(sdk: str) -> str:
    """Give the name by which `NOT_IN` knows a browser SDK."""
    return "rudder-browser" if sdk == "rudder" else sdk


async def assert_each_is_on_the_river_once(running: Pipeline, sdk: str) -> None:
    wanted = {kind: number for kind, number in SENT.items() if kind not in NOT_IN.get(sdk, set())}

    facts = await applied(running.bootstrap, running.ingest.workspace, sum(wanted.values()))

    sent = [msgspec.json.decode(it.touchpoint) for it in facts]
    assert Counter(it["type"] for it in sent) == wanted
    assert len({it.message_id for it in facts}) == len(facts)
    numbers = [it["properties"]["n"] for it in sent if it["type"] == "track"]
    assert sorted(numbers) == list(range(SENT["track"]))


@pytest.mark.parametrize("sdk", ["segment", "rudder", "jitsu", "posthog"])
async def test_on_node_every_call_succeeds_and_lands_once(
    running: Pipeline, shop: IngestProcess, sdks: Path, sdk: str
) -> None:
    key = await shop.create_source()

    printed = await asyncio.to_thread(node.run, [f"server/{sdk}.js", shop.url, key], cwd=sdks)

    assert json.loads(printed.splitlines()[-1]) == []
    await assert_each_is_on_the_river_once(running, sdk)


@pytest.mark.parametrize(
    ("sdk", "options"),
    [
        ("segment", {}),
        ("segment", {"batching": True}),
        ("rudder", {}),
        ("rudder", {"options": {"queueOptions": BATCHING}}),
        ("rudder", {"options": BEACONS}),
        ("jitsu", {}),
        ("posthog", {}),
    ],
    ids=[
        "segment",
        "segment batching",
        "rudder",
        "rudder batching",
        "rudder beacons",
        "jitsu",
        "posthog",
    ],
)
async def test_in_a_browser_on_another_origin_every_call_succeeds_and_lands_once(
    running: Pipeline, shop: IngestProcess, site: Site, chromium: Browser, sdk: str, options: Json
) -> None:
    key = await shop.create_source()
    broken: list[str] = []

    def note(message: Any) -> None:  # Any: playwright's
        if message.type == "error":
            broken.append(message.text)

    async with visitor(chromium) as page:
        page.on("console", note)
        page.on("pageerror", lambda it: broken.append(str(it)))
        await page.route(f"{shop.url.replace('http', 'https', 1)}/**", plainly)
        await page.goto(f"{site.url}/{sdk}")
        failures = await page.evaluate("visit", {"url": shop.url, "key": key, **options})
        if BEACONS in options.values():
            await page.goto("about:blank")  # what waits is handed over by now
        await assert_each_is_on_the_river_once(running, in_browsers(sdk))

    assert (failures, broken) == ([], [])


@pytest.mark.parametrize("sdk", ["segment", "rudder"])
async def test_a_browser_sdk_that_is_told_to_wait_comes_again_until_all_has_landed(
    running: Pipeline, shop: IngestProcess, site: Site, chromium: Browser, sdk: str
) -> None:
    slow = {"rate": {"events_per_second": 6, "burst": 6}}
    key = await shop.create_source(policy=slow)
    refused: list[int] = []

    def note(response: Any) -> None:  # Any: playwright's
        if response.status == 429:
            refused.append(response.status)

    async with visitor(chromium) as page:
        page.on("response", note)
        await page.goto(f"{site.url}/{sdk}")
        visit = partial(page.evaluate, "it => { visit(it) }")
        await visit({"url": shop.url, "key": key})
        await assert_each_is_on_the_river_once(running, in_browsers(sdk))

    assert refused


class Gateway:
    """Stands before ingest for one page and refuses each address's first three requests."""

    def __init__(self, status: int) -> None:
        self._status = status
        self.refused: list[str] = []

    async def pass_on(self, route: Route) -> None:
        """Refuse a request that sends something, or let it through; a handler of playwright's."""
        path = urlsplit(route.request.url).path
        if route.request.method != "POST" or self.refused.count(path) >= 3:
            await route.continue_()
            return
        self.refused.append(path)
        headers = {"retry-after": "1", "access-control-allow-origin": "*"}
        await route.fulfill(status=self._status, headers=headers, json={"code": "gateway.broken"})


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("sdk", ["segment", "rudder", "posthog"])
async def test_a_browser_sdk_that_meets_a_broken_server_comes_again_and_loses_nothing(
    running: Pipeline, shop: IngestProcess, site: Site, chromium: Browser, sdk: str, status: int
) -> None:
    key = await shop.create_source()
    gateway = Gateway(status)

    async with visitor(chromium) as page:
        await page.route(f"{shop.url}/**", gateway.pass_on)
        await page.goto(f"{site.url}/{sdk}")
        visit = partial(page.evaluate, "it => { visit(it) }")
        await visit({"url": shop.url, "key": key})
        await assert_each_is_on_the_river_once(running, in_browsers(sdk))

    assert gateway.refused


async def test_jitsus_sdk_tells_of_what_was_refused_and_sends_it_no_more(
    running: Pipeline, shop: IngestProcess, site: Site, chromium: Browser
) -> None:
    key = await shop.create_source()
    gateway = Gateway(503)
    told: list[str] = []

    async with visitor(chromium) as page:
        page.on("console", lambda it: told.append(it.text))
        await page.route(f"{shop.url}/**", gateway.pass_on)
        await page.goto(f"{site.url}/jitsu")
        await page.evaluate("visit", {"url": shop.url, "key": key})
        calls = Counter(SENT) - Counter(NOT_IN["jitsu"])
        calls -= Counter(path.rpartition("/")[2] for path in gateway.refused)
        facts = await applied(running.bootstrap, shop.workspace, calls.total())

    assert Counter(msgspec.json.decode(it.touchpoint)["type"] for it in facts) == calls
    assert sum("failed with error: 503" in it for it in told) == len(gateway.refused)
