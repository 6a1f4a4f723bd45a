"""The conformance suite of ingest's routes: every route and form, held against its document.

Each exchange goes through the shim, and is compared with what the OpenAPI document says of it.
"""

import base64
import codecs
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import pytest

from clm_common.contracts.touchpoint import HISTORICAL, MARKS_HEADER
from clm_common.instant import SECOND
from clm_common.runtime.openapi import app_of
from clm_ingest import api
from clm_ingest.cors import Cors
from clm_ingest.manual_schemas import Batch, CloudEvent, Merge
from clm_ingest.routes import ALL
from clm_ingest.routes_posthog import POSTHOG
from clm_ingest.table import Route
from tests.support import captured
from tests.support.captured import Captured
from tests.support.documented import Documented
from tests.support.ingest_world import BASIC, EVENT, KEY, NOW, IngestWorld, assert_error

ORIGIN = {"origin": "https://shop.example.com"}
DOCUMENTED = Documented("ingest")
REST = Cors(app_of(api))
"""Behind the shim; it keeps nothing of a test."""
JSON = {"content-type": "application/json"}


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld(rest=REST)
    await world.keyring.refresh()
    world.http.event_hooks = {"response": [DOCUMENTED]}
    yield world
    await world.http.aclose()


def paths(method: str, *, events: bool) -> list[str]:
    """Give every path of the table that takes events, or does not."""
    asks = {"/flags", "/decide"}
    return [
        path
        for route in ALL
        if route.method == method
        for path in route.paths
        if (path not in asks and "{" not in path and path != "/sourceConfig") is events
    ]


def route_of(path: str) -> Route:
    return next(route for route in ALL if path in route.paths and route.method == "POST")


def sample(path: str, **more: object) -> tuple[dict[str, str], Any]:  # Any: a JSON body
    """Give a good body for a path, and its headers."""
    route = route_of(path)
    takes = [taken.schema for taken in route.doc.takes]
    if CloudEvent in takes:
        event = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "com.crm.called"}
        return {"content-type": "application/cloudevents+json"}, {**event, "subject": "u-1"}
    if route in POSTHOG:
        event = {"event": "Ordered", "distinct_id": "u-1", "uuid": "m-1"}
        return JSON, {"batch": [event], **more}
    if Merge in takes:
        ids = [{"type": "userId", "value": "u-1"}, {"type": "anonymousId", "value": "a-1"}]
        return JSON, {"mergeProperties": ids, **more}
    if Batch in takes:
        return JSON, {"batch": [EVENT], **more}
    kind = route.path.rpartition("/")[2]
    return JSON, {**EVENT, "type": kind, "previousId": "u-0", **more}


POSTS = paths("POST", events=True)
PIXELS = [path for route in ALL if route.doc.gives == "image/gif" for path in route.paths]
BODY_KEYED = [path for path in POSTS if path != "/v1/events" and "/i/v1/" not in path]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_every_route_takes_its_events_with_and_without_a_slash(
    world: IngestWorld, path: str, slash: str
) -> None:
    headers, body = sample(path)

    answer = await world.post(path + slash, body, headers={**headers, **BASIC})

    assert answer.status_code == 200
    assert isinstance(answer.json(), dict)
    assert len(world.landed()) == 1
    DOCUMENTED.validate_request("POST", path, headers["content-type"], body)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": f"Basic {base64.b64encode(KEY.encode()).decode()}"}, ""),
        ({"authorization": f"Basic {KEY}"}, ""),
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"authorization": KEY}, ""),
        ({"x-write-key": KEY}, ""),
        ({}, f"?writeKey={KEY}"),
        ({}, f"?a=b&writekey={KEY}&c=d"),
    ],
)
async def test_every_route_takes_the_key_in_every_form(
    world: IngestWorld, path: str, headers: Mapping[str, str], query: str
) -> None:
    kind, body = sample(path)

    answer = await world.post(path + query, body, headers={**kind, **headers})

    assert answer.status_code == 200


@pytest.mark.parametrize("path", BODY_KEYED)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer an.oauth.token"}])
async def test_every_route_takes_the_key_in_the_body_and_keeps_it_to_itself(
    world: IngestWorld, path: str, headers: Mapping[str, str]
) -> None:
    name = "api_key" if route_of(path) in POSTHOG else "writeKey"
    kind, body = sample(path, **{name: KEY})

    answer = await world.post(path, body, headers={**kind, **headers})

    assert answer.status_code == 200
    assert all(KEY.encode() not in (record.value or b"") for record in world.landed())


@pytest.mark.parametrize("path", POSTS)
async def test_every_route_passes_over_a_byte_order_mark(world: IngestWorld, path: str) -> None:
    headers, body = sample(path)
    marked = codecs.BOM_UTF8 + json.dumps(body).encode()

    answer = await world.post(path, marked, headers={**headers, **BASIC})

    assert answer.status_code == 200
    (record,) = world.landed()
    assert (record.value or b"")[:1] == b"{"
    assert world.letters() == []


@pytest.mark.parametrize("path", POSTS)
async def test_every_route_refuses_a_missing_an_unknown_and_a_disabled_key(
    world: IngestWorld, path: str
) -> None:
    kind, body = sample(path)

    missing = await world.post(path, body, headers=kind)
    masked = await world.post(path, body, headers={**kind, "x-write-key": "***"})
    unknown = await world.post(path, body, headers={**kind, "x-write-key": "wk_nobody"})
    disabled = await world.post(path, body, headers={**kind, "x-write-key": "wk_disabled"})

    assert_error(missing, 401, "write_key.missing")
    assert_error(masked, 401, "write_key.missing")
    assert_error(unknown, 401, "write_key.unknown")
    assert_error(disabled, 401, "write_key.disabled")
    assert (world.landed(), world.letters()) == ([], [])


@pytest.mark.parametrize("path", POSTS)
async def test_every_route_asks_to_wait_while_the_broker_or_the_key_store_is_away(
    world: IngestWorld, path: str
) -> None:
    kind, body = sample(path)
    world.broker.away = True

    broker = await world.post(path, body, headers={**kind, **BASIC})
    world.broker.away = False
    world.store_away = True
    world.clock.set(NOW + 3600 * SECOND)
    store = await world.post(path, body, headers={**kind, "x-write-key": "wk_new"})

    for answer in (broker, store):
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert world.landed() == []


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1", b"null", b"7", b'"text"', b"{}" * 2])
async def test_every_route_answers_a_body_that_is_none_with_a_400(
    world: IngestWorld, path: str, body: bytes
) -> None:
    kind, _ = sample(path)

    answer = await world.post(path, body, headers={**kind, **BASIC})

    assert answer.status_code == 400
    assert answer.json().keys() == {"code", "message", "detail"}
    assert world.landed() == []


@pytest.mark.parametrize("path", [*POSTS, *PIXELS, "/flags", "/v1/admin/sources", "/nothing"])
async def test_every_path_answers_a_preflight_without_a_key(world: IngestWorld, path: str) -> None:
    asked = "authorization,x-retry-count,anonymousid,sentat"

    answer = await world.http.options(
        path,
        headers={
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert answer.headers["access-control-allow-headers"] == asked
    assert int(answer.headers["access-control-max-age"]) >= 600


@pytest.mark.parametrize("path", ["/v1/nothing", "/nothing", "/", "/v1/admin/nothing", "/v2/track"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "TRACE"])
async def test_an_unknown_path_is_a_404_that_any_page_and_any_sdk_can_read(
    world: IngestWorld, path: str, method: str
) -> None:
    answer = await world.http.request(method, path, headers=ORIGIN)

    assert answer.status_code == 404
    assert {"code", "message", "detail"} <= answer.json().keys()
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert answer.headers["access-control-expose-headers"] == "Retry-After"


@pytest.mark.parametrize("path", [*POSTS, "/v1/admin/sources"])
async def test_a_wrong_method_is_a_405_that_names_the_right_ones(
    world: IngestWorld, path: str
) -> None:
    answer = await world.http.request("DELETE", path, headers=ORIGIN)

    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"] or path.startswith("/v1/admin/")
    assert {"code", "message", "detail"} <= answer.json().keys()
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]


async def test_the_admin_api_lets_pages_read_but_browsers_add_nothing(world: IngestWorld) -> None:
    admin = await world.http.get("/v1/admin/sources", headers=ORIGIN)
    tracking = await world.post("/v1/track", EVENT, headers={**BASIC, **ORIGIN})

    assert admin.status_code == 401
    assert admin.json()["code"] == "token.missing"
    assert admin.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert "access-control-allow-credentials" not in admin.headers
    assert tracking.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize("sent", captured.ALL, ids=str)
async def test_what_the_real_sdks_send_lands_as_they_meant_it(
    world: IngestWorld, sent: Captured
) -> None:
    answers = [
        await world.post(sent.path, sent.body, headers=sent.headers),
        await world.post(sent.path, sent.body, headers={**sent.headers, "x-retry-count": "1"}),
    ]

    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers.get("access-control-allow-origin") == sent.headers.get("origin")
    first, again = world.landed()
    value = json.loads(first.value or b"")
    ids = (value.get("userId"), value.get("anonymousId"), value["messageId"])
    assert (value["type"], *ids) == sent.landed
    assert dict(first.headers)["ce_id"] == sent.landed[-1].encode()
    assert "ce_untimed" not in dict(first.headers)
    assert HISTORICAL.encode() not in dict(first.headers).get(MARKS_HEADER, b"")
    assert b"wk_test" not in (first.value or b"")
    assert (again.value, again.key) == (first.value, first.key)


@pytest.mark.parametrize(
    "path", ["/sourceConfig", "/sourceConfig/", "/sourceConfig/?p=npm&v=3.34.1&build=modern"]
)
async def test_rudderstacks_browser_sdk_gets_its_source(world: IngestWorld, path: str) -> None:
    answer = await world.http.get(path, headers={**BASIC, **ORIGIN})
    by_query = await world.http.get("/sourceConfig", params={"writeKey": KEY})

    source = answer.json()["source"]
    assert (source["writeKey"], source["enabled"], source["destinations"]) == (KEY, True, [])
    assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
    assert by_query.json() == answer.json()
    assert_error(await world.http.get("/sourceConfig"), 401, "write_key.missing")


async def test_posthogs_browser_sdk_gets_its_config_as_a_script_too(world: IngestWorld) -> None:
    config = await world.http.get(f"/array/{KEY}/config")
    script = await world.http.get(f"/array/{KEY}/config.js", headers=ORIGIN)

    assert script.headers["content-type"].startswith("text/javascript")
    given = script.text.partition("||{},")[2].removesuffix(");")
    assert json.loads(given) == {KEY: {"config": config.json(), "siteApps": []}}
    assert_error(await world.http.get("/array/wk_nobody/config.js"), 401, "write_key.unknown")


async def test_posthogs_browser_sdk_is_told_that_there_are_no_flags(world: IngestWorld) -> None:
    config = await world.http.get(f"/array/{KEY}/config", headers=ORIGIN)
    flags = await world.post("/flags/?v=2", {"token": KEY}, headers=ORIGIN)
    unknown = await world.post("/flags/?v=2", {"token": "wk_nobody"}, headers=ORIGIN)

    assert config.json()["sessionRecording"] is False
    assert flags.json()["flags"] == {}
    assert_error(unknown, 401, "write_key.unknown")
    assert_error(await world.http.get("/array/wk_nobody/config"), 401, "write_key.unknown")
    assert world.landed() == []


@pytest.mark.parametrize("path", ["/e", "/capture/", "/track", "/engage", "/i/v0/e/"])
async def test_posthogs_captures_may_stand_in_a_query(world: IngestWorld, path: str) -> None:
    event = {"event": "Ordered", "distinct_id": "u-1", "uuid": "m-1", "api_key": KEY}
    packed = base64.b64encode(json.dumps(event).encode()).decode()

    taken = await world.http.get(path, params={"data": packed})
    unknown = await world.http.get(path, params={"data": json.dumps({**event, "api_key": "wk_no"})})
    nothing = await world.http.get(path, headers=BASIC)
    looked = await world.http.head(path, params={"data": packed})

    assert (taken.status_code, taken.json()) == (200, {"success": True})
    assert looked.status_code == 200  # and nothing is taken of it
    assert_error(unknown, 401, "write_key.unknown")
    assert_error(nothing, 400, "body.invalid")
    assert [record.key for record in world.landed()] == [b"acme:u-1"]


async def test_robots_are_kept_away(world: IngestWorld) -> None:
    world.http.event_hooks = {}

    answer = await world.http.get("/robots.txt")

    assert (answer.status_code, answer.text) == (200, "User-agent: *\nDisallow: /\n")


def test_every_route_is_documented() -> None:
    for route in ALL:
        for path in route.paths:
            assert route.method.lower() in DOCUMENTED.document["paths"][path]


def assert_pixel(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/gif"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.content[:6] == b"GIF89a"


@pytest.mark.parametrize("path", PIXELS)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_pixel_takes_an_event_as_json_in_base64_or_in_fields(
    world: IngestWorld, path: str, slash: str
) -> None:
    event = {"userId": "u-1", "event": "Opened", "messageId": "m-1", "writeKey": KEY}
    text = json.dumps({**event, "properties": {"mail": "ü?>"}})
    packed = base64.b64encode(text.encode()).decode()
    safe = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    fields = {**event, "properties.mail": "ü?>"}

    answers = [
        await world.http.get(path + slash, params={"data": text}),
        await world.http.get(path + slash, params={"data": packed}),
        await world.http.get(path + slash, params={"data": safe}),
        await world.http.get(path + slash, params=fields),
    ]

    for answer in answers:
        assert_pixel(answer)
    kind = path.rpartition("/")[2]
    landed = [json.loads(record.value or b"") for record in world.landed()]
    expected = {
        "userId": "u-1",
        "event": "Opened",
        "messageId": "m-1",
        "properties": {"mail": "ü?>"},
        "type": kind,
    }
    assert landed == [expected] * 4


async def test_a_pixel_is_a_pixel_whatever_goes_wrong_and_what_is_refused_is_kept(
    world: IngestWorld,
) -> None:
    path = "/v1/pixel/track"
    broken = await world.http.get(path, params={"writeKey": KEY, "data": "%%%"})
    nobody = await world.http.get(path, params={"writeKey": KEY, "event": "Opened"})
    keyless = await world.http.get(path, params={"userId": "u-1", "event": "Opened"})
    wrong = await world.http.get(path, params={"writeKey": "wk_nobody"})
    head = await world.http.head(path, params={"writeKey": KEY, "userId": "u", "event": "Opened"})
    world.broker.away = True
    away = await world.http.get(path, params={"writeKey": KEY, "userId": "u", "event": "Opened"})

    for answer in (broken, nobody, keyless, wrong, away):
        assert_pixel(answer)
    assert head.status_code == 200
    assert world.landed() == []
    reasons = [letter.reason for letter in world.letters()]
    assert reasons == ["touchpoint.malformed", "touchpoint.identity_missing"]
