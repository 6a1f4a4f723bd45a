"""While ingest starts: senders are asked to come back, in words that SDKs understand."""

from collections.abc import AsyncGenerator

import httpx
import pytest

from clm_common.runtime.front import Front
from clm_common.runtime.probes import Probes
from clm_ingest import answers
from clm_ingest.app import early
from clm_ingest.routes import ALL
from clm_ingest.settings import Settings
from tests.support.ingest_world import BASIC, EVENT, assert_error

ORIGIN = {"origin": "https://shop.example.com"}
POSTS = sorted({path for route in ALL if route.method == "POST" for path in route.paths})
KEYED = ["/v1/projects/wk_test/settings", "/sourceConfig", "/array/wk_test/config"]
PIXELS = ["/v1/pixel/track", "/pixel/v1/page", "/api/px/page"]


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://nowhere/clm",
            "kafka_bootstrap": "nowhere:9092",
            "ingest_posthog": True,
            "ingest_prefix": "/t",
        }
    )
    front = Front(Probes("ingest"), early=early(settings))
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


@pytest.mark.parametrize("path", [*POSTS, "/t/v1/track"])
async def test_a_sender_is_told_to_come_back_as_of_any_other_error(
    http: httpx.AsyncClient, path: str
) -> None:
    answer = await http.post(path.format(hook="calls"), json=EVENT, headers={**BASIC, **ORIGIN})

    assert_error(answer, 503, "service.starting")
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert answer.headers["access-control-expose-headers"] == "Retry-After"


@pytest.mark.parametrize("path", KEYED)
async def test_nobody_is_told_that_a_key_is_wrong_before_keys_are_known(
    http: httpx.AsyncClient, path: str
) -> None:
    assert_error(await http.get(path, headers=BASIC), 503, "service.starting")


async def test_what_needs_nothing_is_answered_already(http: httpx.AsyncClient) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "sentat"}

    preflight = await http.options("/v1/track", headers={**ORIGIN, **asked})
    images = [await http.get(path, params={"writeKey": "wk_test"}) for path in PIXELS]
    script = await http.get("/clm.js")
    wrong = await http.get("/v1/track")

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"] == "sentat"
    assert [it.content for it in images] == [answers.PIXEL.body] * 3
    assert (script.status_code, b"function" in script.content) == (200, True)
    assert_error(wrong, 405, "route.method")


async def test_the_rest_of_ingest_asks_to_wait_in_its_own_form(http: httpx.AsyncClient) -> None:
    admin = await http.get("/v1/admin/sources", headers=ORIGIN)

    assert admin.status_code == 503
    assert admin.headers["content-type"] == "application/problem+json"
    assert admin.headers.get_list("access-control-allow-origin") == [ORIGIN["origin"]]
    assert admin.headers["retry-after"] == "1"
