"""The browser script over HTTP: its addresses, its integrity, and how long it may be kept."""

import base64
import gzip
import hashlib
from collections.abc import AsyncGenerator

import httpx
import pytest

from clm_ingest import script
from tests.support.ingest_world import EVENT, KEY, IngestWorld, assert_error

TEXT = script.load().text


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld(prefix="/hello")
    await world.keyring.refresh()
    yield world
    await world.http.aclose()


async def described(world: IngestWorld, prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = (await world.http.get(f"{prefix}/v1/script")).json()
    return found


@pytest.mark.parametrize("path", ["/clm.js", f"/analytics.js/v1/{KEY}/analytics.min.js"])
async def test_the_script_is_a_script_for_any_page(world: IngestWorld, path: str) -> None:
    answer = await world.http.get(path, headers={"origin": "https://shop.example"})

    assert answer.content == TEXT
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


async def test_it_is_small(world: IngestWorld) -> None:
    answer = await world.http.get("/clm.js", headers={"accept-encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) <= 6 * 1024
    assert gzip.decompress(script.load().zipped) == TEXT


async def test_whoever_has_it_is_told_that_it_has_not_changed(world: IngestWorld) -> None:
    first = await world.http.get("/clm.js")

    again = await world.http.get("/clm.js", headers={"if-none-match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert "max-age=3600" in first.headers["cache-control"]


async def test_the_pinned_address_may_be_kept_for_ever_and_matches_its_integrity(
    world: IngestWorld,
) -> None:
    told = await described(world)

    pinned = await world.http.get(httpx.URL(told["pinned_url"]).path)

    assert "immutable" in pinned.headers["cache-control"]
    digest = base64.b64encode(hashlib.sha384(pinned.content).digest()).decode()
    assert told["integrity"] == f"sha384-{digest}"
    assert told["url"] in told["html"]
    assert_error(await world.http.get("/clm-0000.js"), 404, "script.version")


async def test_below_the_prefix_are_the_script_and_the_tracking_routes(world: IngestWorld) -> None:
    told = await described(world, "/hello")

    served = await world.http.get("/hello/clm.js")
    sent = await world.post("/hello/v1/track", EVENT)
    settings = await world.http.get(f"/hello/v1/projects/{KEY}/settings")

    assert told["url"].endswith("/hello/clm.js")
    assert served.content == TEXT
    assert (sent.status_code, len(world.landed())) == (200, 1)
    assert settings.json()["integrations"]["Segment.io"]["apiHost"].endswith("/hello/v1")


@pytest.mark.parametrize("path", ["/hello/v1/admin/sources", "/hello", "/helloo/v1/track"])
async def test_nothing_else_is_below_the_prefix(world: IngestWorld, path: str) -> None:
    assert (await world.http.get(path)).status_code == 418
