"""Requests of a known sender that cannot be opened are kept whole, by the rules of its events."""

import gzip
import json
from collections.abc import Mapping

import pytest

from clm_common import telemetry
from clm_common.contracts.dead_letter import DeadLetter
from clm_ingest.core.credentials import digest_of
from clm_ingest.core.parcel import Limits
from clm_ingest.core.policy import Policy
from clm_ingest.core.rules import rules_of
from clm_ingest.handlers import Bounds
from clm_ingest.routes import ALL, OPENERS
from clm_ingest.store import Keys
from tests.support.ingest_world import BASIC, EVENT, KEY, IngestWorld, assert_error

CUT = json.dumps({"batch": [EVENT]}).encode()[:-9]


async def follow(world: IngestWorld, **policy: object) -> None:
    """Give the source a policy."""
    rules = rules_of(Policy.model_validate(policy))
    world.keys = [Keys("s-1", "acme", digest_of(KEY), None, None, disabled=False, rules=rules)]
    await world.keyring.refresh()


def one(world: IngestWorld) -> DeadLetter:
    (letter,) = world.letters()
    return letter


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/import", "/beacon/v1/batch"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (CUT, "body.malformed"),
        (b'{"batch":[],"a":NaN}', "body.malformed"),
        (b'{"a":-Infinity}', "body.malformed"),
        (b"not json", "body.malformed"),
        (b'{"a":' * 20_000, "body.malformed"),
        (b"[]", "body.invalid"),
        (b"7", "body.invalid"),
    ],
)
async def test_a_body_that_is_no_json_is_a_400_and_kept_as_it_was_sent(
    world: IngestWorld, path: str, body: bytes, code: str
) -> None:
    answer = await world.post(path, body)

    assert_error(answer, 400, code)
    letter = one(world)
    assert (letter.reason, letter.original, letter.detail) == (code, body, answer.json()["detail"])
    assert (letter.workspace, letter.source, letter.index) == ("acme", "s-1", 0)
    assert world.landed() == []


@pytest.mark.parametrize("body", [{}, {"batch": {}}, {"batch": None}])
async def test_a_batch_without_a_list_is_a_400_and_kept(world: IngestWorld, body: object) -> None:
    assert_error(await world.post("/v1/batch", body), 400, "body.invalid")

    assert one(world).original == json.dumps(body).encode()


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (BASIC, ""),
        ({"authorization": f"Bearer {KEY}"}, ""),
        ({"x-write-key": KEY}, ""),
        ({}, f"?a=b&writeKey={KEY}&c=d"),
    ],
)
async def test_the_sender_is_known_by_its_head_and_the_key_is_not_kept(
    world: IngestWorld, headers: Mapping[str, str], query: str
) -> None:
    answer = await world.post(f"/v1/b/{query}", CUT, headers=headers)

    assert_error(answer, 400, "body.malformed")
    letter = one(world)
    assert letter.request == ("POST /v1/batch?a=b&c=d" if query else "POST /v1/batch")
    assert KEY not in repr(letter)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, CUT, 400, "body.malformed"),
        ({}, b'{"writeKey":"' + KEY.encode() + b'","batch":[', 400, "body.malformed"),
        ({"x-write-key": "wk_nobody"}, CUT, 401, "write_key.unknown"),
        ({"x-write-key": "wk_disabled"}, CUT, 401, "write_key.disabled"),
    ],
)
async def test_of_an_unknown_sender_nothing_is_kept(
    world: IngestWorld, headers: Mapping[str, str], body: bytes, status: int, code: str
) -> None:
    answer = await world.post("/v1/batch", body, headers=headers)

    assert_error(answer, status, code)
    assert world.letters() == []


@pytest.mark.parametrize("body", [b"", b" \n"])
async def test_of_an_empty_body_there_is_nothing_to_keep(world: IngestWorld, body: bytes) -> None:
    assert_error(await world.post("/v1/batch", body), 400, "body.malformed")

    assert world.letters() == []


async def test_the_400_is_answered_only_after_the_acknowledgement(world: IngestWorld) -> None:
    world.broker.away = True

    away = await world.post("/v1/batch", CUT)

    assert away.status_code == 503
    assert 1 <= int(away.headers["retry-after"]) <= 300
    world.broker.away = False
    assert_error(await world.post("/v1/batch", CUT), 400, "body.malformed")
    assert len(world.letters()) == 1


async def test_a_body_that_is_too_long_is_kept_as_far_as_an_event_is() -> None:
    world = IngestWorld(Bounds(limits=Limits(event_bytes=1_000)))
    await world.keyring.refresh()

    await world.post("/v1/batch", b"[" + b"x" * 1_000)
    await world.post("/v1/batch", b"[" + b"x" * 999)

    first, second = world.letters()
    assert (first.original, first.truncated) == (b"[" + b"x" * 999, True)
    assert (second.original, second.truncated) == (b"[" + b"x" * 999, False)


async def test_a_foreign_origin_keeps_nothing(world: IngestWorld) -> None:
    await follow(world, allowed_origins=["https://shop.example.com"])

    foreign = await world.post("/v1/batch", CUT, headers=BASIC | {"origin": "https://evil.com"})
    own = await world.post("/v1/track", CUT, headers=BASIC | {"origin": "https://shop.example.com"})

    assert_error(foreign, 403, "origin.refused")
    assert_error(own, 400, "body.malformed")
    assert [letter.request for letter in world.letters()] == ["POST /v1/track"]


async def test_it_counts_as_an_event_against_the_rate(world: IngestWorld) -> None:
    await follow(world, rate={"events_per_second": 1, "burst": 2})

    answers = [await world.post("/v1/batch", CUT) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert len(world.letters()) == 2


async def test_of_who_declines_nothing_is_kept(world: IngestWorld) -> None:
    await follow(world, honour_gpc=True)

    declined = await world.post("/v1/batch", CUT, headers=BASIC | {"sec-gpc": "1"})

    assert_error(declined, 400, "body.malformed")
    assert world.letters() == []


async def test_a_body_beyond_the_sources_size_is_refused_as_any_other(world: IngestWorld) -> None:
    await follow(world, limits={"body_bytes": 256, "event_bytes": 256})

    large = await world.post("/v1/batch", b"{" + b"x" * 300)

    assert_error(large, 413, "body.too_large")
    assert world.letters() == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br"])
async def test_a_body_that_cannot_be_inflated_is_kept_as_it_was_sent(
    world: IngestWorld, encoding: str
) -> None:
    body = gzip.compress(json.dumps({"batch": [EVENT]}).encode())[:-6]

    answer = await world.post("/v1/batch", body, headers=BASIC | {"content-encoding": encoding})

    assert_error(answer, 400, f"body.{encoding}")
    letter = one(world)
    assert (letter.reason, letter.original) == (f"body.{encoding}", body)


async def test_what_inflates_but_is_no_json_is_kept_inflated(world: IngestWorld) -> None:
    packed = gzip.compress(CUT)

    answer = await world.post("/v1/batch", packed, headers=BASIC | {"content-encoding": "gzip"})

    assert_error(answer, 400, "body.malformed")
    assert one(world).original == CUT


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("data=%7B%22userId%22%3A", "touchpoint.malformed"),
        ("data=eyJ1c2VySWQiOg", "touchpoint.malformed"),
        ("data=WzFd", "touchpoint.not_an_object"),
        ("data=%25%25", "touchpoint.malformed"),
    ],
)
async def test_a_pixel_that_cannot_be_read_is_kept_without_its_key(
    world: IngestWorld, query: str, reason: str
) -> None:
    known = await world.http.get(f"/v1/pixel/track?{query}&writeKey={KEY}")
    unknown = await world.http.get(f"/v1/pixel/track?{query}&writeKey=wk_nobody")

    assert (known.status_code, unknown.status_code) == (200, 200)
    assert known.content == unknown.content
    assert known.headers["content-type"] == "image/gif"
    letter = one(world)
    assert (letter.reason, letter.original) == (reason, query.encode())
    assert letter.request == "GET /v1/pixel/track"


async def test_other_forms_are_kept_with_what_says_how_they_are_read(world: IngestWorld) -> None:
    batched = {"content-type": "application/cloudevents-batch+json", "ce-id": "7", "cookie": "x"}

    cloudevents = await world.post("/v1/events", b"[{", headers=BASIC | batched)
    posthog = await world.post("/capture/?compression=base64&_=1", b"%%", headers=BASIC)
    capture = await world.http.get("/e/?data=%25%25", headers=BASIC)

    for answer in (cloudevents, posthog, capture):
        assert_error(answer, 400, "body.malformed")
    first, second, third = world.letters()
    assert first.headers == {"content-type": batched["content-type"], "ce-id": "7"}
    assert [it.request for it in (first, second)] == [
        "POST /v1/events",
        "POST /e?compression=base64&_=1",
    ]
    assert (third.request, third.original) == ("GET /e", b"data=%25%25")


async def test_what_asks_and_brings_no_event_is_not_kept(world: IngestWorld) -> None:
    assert_error(await world.post("/flags", b"{"), 400, "body.malformed")

    assert world.letters() == []


async def test_it_is_counted_as_refused(world: IngestWorld) -> None:
    def count() -> tuple[float, float]:
        sample = telemetry.REGISTRY.get_sample_value
        refused = sample("clm_ingest_events_total", {"verdict": "refused"})
        return refused or 0, sample("clm_dead_letters_total", {"reason": "body.malformed"}) or 0

    before = count()

    await world.post("/v1/batch", CUT)

    assert count() == (before[0] + 1, before[1] + 1)


async def test_whoever_comes_from_the_companys_own_network_is_marked(world: IngestWorld) -> None:
    await follow(world, internal_networks=["127.0.0.0/8"])

    await world.post("/v1/batch", CUT)

    assert one(world).marks == ("internal",)


def test_every_route_that_takes_events_says_how_a_kept_request_is_opened() -> None:
    asked = {"/flags", "/v1/hooks/{hook}"}
    taking = [
        f"{route.method} {route.path}"
        for route in ALL
        if (route.method == "POST" or route.doc.gives == "image/gif") and route.path not in asked
    ]

    assert {*taking, "GET /e"} == OPENERS.keys()
