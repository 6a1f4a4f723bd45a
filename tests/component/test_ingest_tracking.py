"""The tracking routes over HTTP, with a bus in memory: what lands, and what is refused."""

import json

import pytest

from clm_common import telemetry
from clm_ingest.core.parcel import Limits
from clm_ingest.handlers import Bounds
from tests.support.ingest_world import BASIC, EVENT, KEY, IngestWorld, assert_error


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/track/", "/v1/t/"])
async def test_a_single_call_lands_once_and_is_answered_200(world: IngestWorld, path: str) -> None:
    answer = await world.post(path, EVENT)

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    (record,) = world.landed()
    assert record.value == json.dumps(EVENT).encode()
    assert record.key == b"acme:u-1"
    assert dict(record.headers)["ce_source"] == b"/workspaces/acme/sources/s-1"


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/b/", "/v1/import"])
async def test_a_batch_lands_in_order(world: IngestWorld, path: str) -> None:
    events = [{**EVENT, "messageId": f"m-{n}"} for n in range(100)]

    answer = await world.post(path, {"batch": events})

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [json.loads(record.value or b"") for record in world.landed()] == events


@pytest.mark.parametrize("path", ["//v1/track", "/v1//track", "///v1/t//"])
async def test_a_host_that_was_given_with_a_slash_at_its_end_does_no_harm(
    world: IngestWorld, path: str
) -> None:
    answer = await world.http.post(
        f"http://t.example.com{path}", content=json.dumps(EVENT), headers=BASIC
    )

    assert answer.status_code == 200
    assert len(world.landed()) == 1


async def test_a_bad_event_of_a_batch_is_named_and_quarantined_and_the_others_land(
    world: IngestWorld,
) -> None:
    bad = {"type": "track", "messageId": "m-bad", "event": "X"}
    body = {"batch": [EVENT, bad, {**EVENT, "messageId": "m-2"}]}

    answer = await world.post("/v1/batch", body)

    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "rejected": [
            {"index": 1, "messageId": "m-bad", "code": "touchpoint.identity_missing"},
        ],
    }
    assert len(world.landed()) == 2
    (letter,) = world.letters()
    assert letter.reason == "touchpoint.identity_missing"
    assert letter.original == json.dumps(bad).encode()
    assert (letter.workspace, letter.source, letter.index) == ("acme", "s-1", 1)
    assert letter.message_id == "m-bad"
    assert letter.at == "2026-11-22T10:00:00.000000Z"


async def test_a_bad_single_event_is_a_400_and_quarantined(world: IngestWorld) -> None:
    bad = {"messageId": "m-bad", "event": "X"}

    answer = await world.post("/v1/track", bad)

    assert_error(answer, 400, "touchpoint.identity_missing")
    assert [letter.original for letter in world.letters()] == [json.dumps(bad).encode()]


CUT = {**EVENT, "properties": {"title": "Hello \ud83d", "smile": "\U0001f600", "n": 1e2}}


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/batch"])
async def test_half_a_surrogate_pair_is_replaced_and_all_else_is_as_sent(
    world: IngestWorld, path: str
) -> None:
    cut = json.dumps(CUT)
    body = f'{{"batch":[{cut}]}}' if path == "/v1/batch" else cut

    answer = await world.post(path, body.encode())

    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert [it.value for it in world.landed()] == [cut.replace('\\ud83d"', '\\ufffd"').encode()]
    assert world.letters() == []


@pytest.mark.parametrize("name", ["messageId", "userId", "anonymousId", "previousId"])
async def test_half_a_surrogate_pair_in_an_id_is_quarantined(world: IngestWorld, name: str) -> None:
    cut = json.dumps({**EVENT, name: "a\ud83d"}).encode()

    answer = await world.post("/v1/track", cut)

    assert_error(answer, 400, "touchpoint.malformed")
    (letter,) = world.letters()
    assert (letter.reason, letter.original) == ("touchpoint.malformed", cut)
    assert world.landed() == []


async def test_half_a_surrogate_pair_in_a_merge_is_quarantined(world: IngestWorld) -> None:
    cut = json.dumps({**CUT, "writeKey": KEY}).encode()

    answer = await world.post("/v1/merge", cut, headers={})

    assert_error(answer, 400, "touchpoint.malformed")
    (letter,) = world.letters()
    assert (letter.reason, letter.original) == ("touchpoint.malformed", cut)


async def test_an_event_that_is_too_large_is_a_413_alone_and_quarantined_in_a_batch() -> None:
    world = IngestWorld(Bounds(limits=Limits(event_bytes=1_000)))
    await world.keyring.refresh()
    large = {**EVENT, "messageId": "m-large", "properties": {"x": "y" * 1_000}}

    single = await world.post("/v1/track", large)
    batch = await world.post("/v1/batch", {"batch": [EVENT, large]})

    assert_error(single, 413, "touchpoint.too_large")
    rejected = {"index": 1, "messageId": "m-large", "code": "touchpoint.too_large"}
    assert batch.json()["rejected"] == [rejected]
    assert len(world.landed()) == 1
    assert [letter.message_id for letter in world.letters()] == ["m-large"] * 2


@pytest.mark.parametrize(
    ("message_id", "told"),
    [
        ('"m-1"', "m-1"),
        ("7", "7"),
        ("null", None),
        ("[]", None),
        ('"\\u0000"', None),
        (f'"{"m" * 257}"', None),
        ('"\\ud800"', None),
        ('"\xff"', None),
        ("NaN", None),
    ],
)
async def test_an_event_that_is_too_large_is_told_by_its_id_where_it_has_one(
    message_id: str, told: str | None
) -> None:
    world = IngestWorld(Bounds(limits=Limits(event_bytes=1_000)))
    await world.keyring.refresh()
    large = f'{{"x":"{"y" * 1_000}","messageId":{message_id}}}'.encode("latin-1")

    answer = await world.post("/v1/batch", b'{"batch":[%b]}' % large)

    rejected = {"index": 0, "messageId": told, "code": "touchpoint.too_large"}
    assert (answer.status_code, answer.json()["rejected"]) == (200, [rejected])


async def test_an_unknown_route_and_a_wrong_method_are_named(world: IngestWorld) -> None:
    unknown = await world.post("/v1/nothing", EVENT)
    method = await world.http.get("/v1/track", headers=BASIC)

    assert_error(unknown, 404, "route.unknown")
    assert_error(method, 405, "route.method")
    assert method.headers["allow"] == "POST, OPTIONS"


async def test_verdicts_are_counted(world: IngestWorld) -> None:
    def count(verdict: str) -> float:
        value = telemetry.REGISTRY.get_sample_value("clm_ingest_events_total", {"verdict": verdict})
        return value or 0.0

    before = count("admitted"), count("refused")

    await world.post("/v1/batch", {"batch": [EVENT, EVENT, {}]})

    assert (count("admitted"), count("refused")) == (before[0] + 2, before[1] + 1)


async def test_other_paths_are_not_the_tracking_routes_business(world: IngestWorld) -> None:
    assert (await world.http.get("/v1/admin/sources")).status_code == 418
    assert (await world.http.get("/docs")).status_code == 418
