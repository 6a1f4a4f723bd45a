"""The tracking routes over HTTP, with a bus in memory and write keys that are known."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

import cramjam
import pytest

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message
from clm_common.instant import SECOND
from clm_ingest.core.parcel import Limits
from clm_ingest.handlers import Bounds
from tests.support.ingest_world import BASIC, EVENT, KEY, NOW, IngestWorld, assert_error


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld()
    await world.keyring.refresh()
    yield world
    await world.http.aclose()


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


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"]
)
async def test_the_body_is_json_whatever_it_is_called(
    world: IngestWorld, content_type: str | None
) -> None:
    headers = BASIC | ({"content-type": content_type} if content_type else {})

    answer = await world.post("/v1/track", EVENT, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["//v1/track", "/v1//track", "///v1/t//"])
async def test_a_host_that_was_given_with_a_slash_at_its_end_does_no_harm(
    world: IngestWorld, path: str
) -> None:
    answer = await world.http.post(
        f"http://t.example.com{path}", content=json.dumps(EVENT), headers=BASIC
    )

    assert answer.status_code == 200
    assert len(world.landed()) == 1


async def test_two_headers_of_encoding_are_read_as_one_list(world: IngestWorld) -> None:
    body = gzip.compress(gzip.compress(json.dumps(EVENT).encode()))
    twice = [("content-encoding", "gzip")] * 2

    answer = await world.http.post("/v1/track", content=body, headers=[*BASIC.items(), *twice])

    assert answer.status_code == 200
    assert [json.loads(record.value or b"") for record in world.landed()] == [EVENT]


async def test_a_gzipped_body_is_inflated(world: IngestWorld) -> None:
    body = gzip.compress(json.dumps({"batch": [EVENT]}).encode())
    members = gzip.compress(b'{"batch":[') + gzip.compress(b"]}")
    headers = BASIC | {"content-encoding": "gzip"}

    first = await world.post("/v1/batch", body, headers=headers)
    second = await world.post("/v1/batch", members, headers=headers)

    assert (first.status_code, second.status_code) == (200, 200)
    assert len(world.landed()) == 1


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", cramjam.zstd.compress),
        ("br", cramjam.brotli.compress),
        ("", gzip.compress),
    ],
)
async def test_a_body_may_be_packed_in_every_common_way(
    world: IngestWorld, encoding: str, packed: Callable[[bytes], bytes]
) -> None:
    body = bytes(packed(json.dumps({"batch": [EVENT]}).encode()))

    answer = await world.post("/v1/batch", body, headers=BASIC | {"content-encoding": encoding})

    assert answer.status_code == 200
    assert [json.loads(record.value or b"") for record in world.landed()] == [EVENT]


@pytest.mark.parametrize(
    "body",
    [b"no gzip", gzip.compress(b"{}", mtime=0)[:-6], zlib.compress(b"{}"), b"\x1f\x8b"],
)
async def test_bad_gzip_is_a_400(world: IngestWorld, body: bytes) -> None:
    answer = await world.post("/v1/batch", body, headers=BASIC | {"content-encoding": "gzip"})

    assert_error(answer, 400, "body.gzip")


async def test_a_gzip_bomb_is_a_413_and_is_not_inflated() -> None:
    world = IngestWorld(Bounds(body_bytes=1_000_000, memory_bytes=2_000_000))
    await world.keyring.refresh()
    bomb = gzip.compress(b"[" * 100_000_000)

    answer = await world.post("/v1/batch", bomb, headers=BASIC | {"content-encoding": "gzip"})

    assert_error(answer, 413, "body.too_large")


async def test_another_encoding_is_a_415(world: IngestWorld) -> None:
    answer = await world.post("/v1/batch", b"{}", headers=BASIC | {"content-encoding": "compress"})

    assert_error(answer, 415, "body.encoding")


async def test_a_body_that_is_too_large_is_a_413_whether_announced_or_not() -> None:
    world = IngestWorld(Bounds(body_bytes=10_000))
    await world.keyring.refresh()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000

    announced = await world.post("/v1/batch", b"x" * 20_000)
    chunked = await world.http.post("/v1/batch", content=chunks(), headers=BASIC)

    assert_error(announced, 413, "body.too_large")
    assert_error(chunked, 413, "body.too_large")


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        (BASIC, "/v1/track"),
        ({"authorization": f"Basic {KEY}"}, "/v1/track"),
        ({"authorization": KEY}, "/v1/track"),
        ({"authorization": f"Bearer {KEY}"}, "/v1/track"),
        ({"x-write-key": KEY}, "/v1/track"),
        ({}, f"/v1/track?writeKey={KEY}"),
    ],
)
async def test_the_key_may_stand_in_a_header_or_the_query(
    world: IngestWorld, headers: Mapping[str, str], path: str
) -> None:
    answer = await world.post(path, EVENT, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer some.oauth.token"}])
async def test_the_key_may_stand_in_the_body(
    world: IngestWorld, headers: Mapping[str, str]
) -> None:
    single = await world.post("/v1/track", {**EVENT, "writeKey": KEY}, headers=headers)
    batch = await world.post("/v1/batch", {"batch": [EVENT], "writeKey": KEY}, headers=headers)

    assert (single.status_code, batch.status_code) == (200, 200)
    assert len(world.landed()) == 2
    assert all(KEY.encode() not in (record.value or b"") for record in world.landed())


async def test_a_key_in_the_header_beats_one_in_the_body(world: IngestWorld) -> None:
    masked = await world.post(
        "/v1/track", {**EVENT, "writeKey": "***"}, headers={"x-write-key": KEY}
    )
    wrong = await world.post(
        "/v1/track", {**EVENT, "writeKey": KEY}, headers={"x-write-key": "wk_wrong"}
    )

    assert masked.status_code == 200
    assert_error(wrong, 401, "write_key.unknown")


async def test_no_key_or_an_unknown_or_disabled_one_is_a_401(world: IngestWorld) -> None:
    missing = await world.post("/v1/track", EVENT, headers={})
    masked = await world.post("/v1/track", {**EVENT, "writeKey": "***"}, headers={})
    unknown = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_nobody"})
    disabled = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_disabled"})

    assert_error(missing, 401, "write_key.missing")
    assert_error(masked, 401, "write_key.missing")
    assert_error(unknown, 401, "write_key.unknown")
    assert_error(disabled, 401, "write_key.disabled")
    assert world.landed() == []


async def test_while_the_key_store_is_away_known_keys_work_and_others_are_a_503(
    world: IngestWorld,
) -> None:
    world.store_away = True
    world.clock.set(NOW + 3600 * SECOND)

    known = await world.post("/v1/track", EVENT)
    unknown = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_new"})

    assert known.status_code == 200
    assert_error(unknown, 503, "keys.away")
    assert unknown.headers["retry-after"].isdigit()


async def test_before_the_keys_were_read_every_key_is_a_503() -> None:
    assert_error(await IngestWorld().post("/v1/track", EVENT), 503, "keys.away")


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b'{"a":NaN}', b'{"a":' * 20_000])
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_broken_json_is_a_400(world: IngestWorld, path: str, body: bytes) -> None:
    answer = await world.post(path, body)

    assert_error(answer, 400, "body.malformed")
    assert [letter.original for letter in world.letters()] == ([body] if body else [])


@pytest.mark.parametrize("body", [[], 7, "text", None])
@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
async def test_json_that_is_no_object_is_a_400(world: IngestWorld, path: str, body: object) -> None:
    assert_error(await world.post(path, body), 400, "body.invalid")


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


@pytest.mark.parametrize("path", ["/v1/track", "/v1/t", "/v1/merge"])
async def test_half_a_surrogate_pair_in_a_single_call_is_quarantined(
    world: IngestWorld, path: str
) -> None:
    cut = json.dumps({**EVENT, "writeKey": KEY, "properties": {"title": "Hello \ud83d"}}).encode()

    answer = await world.post(path, cut, headers={})

    assert_error(answer, 400, "touchpoint.malformed")
    (letter,) = world.letters()
    assert (letter.reason, letter.original) == ("touchpoint.malformed", cut)
    assert world.landed() == []


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


async def test_while_kafka_is_away_nothing_is_acknowledged(world: IngestWorld) -> None:
    world.broker.away = True

    good = await world.post("/v1/track", EVENT)
    bad = await world.post("/v1/track", {"event": "no ids"})

    for answer in (good, bad):
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 300
    world.broker.away = False
    assert (await world.post("/v1/track", EVENT)).status_code == 200
    assert len(world.landed()) == 1


ORIGIN = {"origin": "https://shop.example.com"}


async def test_a_preflight_allows_what_is_asked_for_without_a_key(world: IngestWorld) -> None:
    asked = "anonymousid,authorization,content-type,sentat,rsa-retry-attempt"

    answer = await world.http.options(
        "/v1/t",
        headers={
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert answer.headers["access-control-allow-headers"] == asked
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) >= 600


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/track", EVENT, 200),
        ("/v1/track", b"{", 400),
        ("/v1/track?writeKey=x", EVENT, 200),
        ("/v1/nothing", EVENT, 404),
    ],
)
async def test_every_answer_can_be_read_from_another_origin(
    world: IngestWorld, path: str, body: object, status: int
) -> None:
    answer = await world.post(path, body, headers=BASIC | ORIGIN)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "Origin" in answer.headers["vary"]


async def test_a_503_can_be_read_from_another_origin(world: IngestWorld) -> None:
    world.broker.away = True

    answer = await world.post("/v1/track", EVENT, headers=BASIC | ORIGIN)

    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"


async def test_an_unknown_route_and_a_wrong_method_are_named(world: IngestWorld) -> None:
    unknown = await world.post("/v1/nothing", EVENT)
    method = await world.http.get("/v1/track", headers=BASIC)

    assert_error(unknown, 404, "route.unknown")
    assert_error(method, 405, "route.method")
    assert method.headers["allow"] == "POST, OPTIONS"


async def test_the_browser_sdk_gets_its_settings_for_a_known_key(world: IngestWorld) -> None:
    known = await world.http.get(f"/v1/projects/{KEY}/settings", headers=ORIGIN)
    unknown = await world.http.get("/v1/projects/wk_nobody/settings", headers=ORIGIN)

    segment = known.json()["integrations"]["Segment.io"]
    assert segment["apiHost"] == "t.example.com/v1"
    assert segment["protocol"] == "http"
    assert known.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert_error(unknown, 401, "write_key.unknown")


async def test_a_public_address_stands_in_the_settings() -> None:
    world = IngestWorld(public_url="https://t.example.org/clm/")
    await world.keyring.refresh()

    answer = await world.http.get(f"/v1/projects/{KEY}/settings")

    segment = answer.json()["integrations"]["Segment.io"]
    assert (segment["protocol"], segment["apiHost"]) == ("https", "t.example.org/clm/v1")


async def test_a_body_that_does_not_arrive_is_a_408(world: IngestWorld) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"batch":'
        await asyncio.sleep(30)
        yield b"[]}"

    answer = await world.http.post("/v1/batch", content=slow(), headers=BASIC)

    assert_error(answer, 408, "body.too_slow")
    assert answer.headers["connection"] == "close"


class Gate(MemoryProducer):
    """A producer whose acknowledgement is held back."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.open = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)

    async def publish(self, messages: Sequence[Message]) -> None:
        self.arrived.release()
        await self.open.wait()
        await super().publish(messages)


def gated(bounds: Bounds) -> tuple[IngestWorld, Gate]:
    gates: list[Gate] = []

    def gate(broker: MemoryBroker) -> Gate:
        gates.append(Gate(broker))
        return gates[0]

    world = IngestWorld(bounds, producer=gate)
    return world, gates[0]


async def test_200_is_answered_after_the_acknowledgement_and_not_before() -> None:
    world, gate = gated(Bounds())
    await world.keyring.refresh()

    request = asyncio.create_task(world.post("/v1/track", EVENT))
    await gate.arrived.acquire()
    await asyncio.sleep(0.05)

    assert not request.done()
    gate.open.set()
    assert (await request).status_code == 200


async def test_beyond_so_many_requests_at_once_senders_are_asked_to_wait() -> None:
    world, gate = gated(Bounds(requests=3))
    await world.keyring.refresh()
    held = [asyncio.create_task(world.post("/v1/track", EVENT)) for _ in range(3)]
    for _ in held:
        await gate.arrived.acquire()

    fourth = await world.post("/v1/track", EVENT)

    assert_error(fourth, 503, "ingest.busy")
    gate.open.set()
    assert [answer.status_code for answer in await asyncio.gather(*held)] == [200] * 3
    assert (await world.post("/v1/track", EVENT)).status_code == 200


async def test_beyond_so_many_bytes_at_once_senders_are_asked_to_wait() -> None:
    world, gate = gated(Bounds(memory_bytes=3_000))
    await world.keyring.refresh()
    large = {**EVENT, "properties": {"x": "y" * 2_000}}
    held = asyncio.create_task(world.post("/v1/track", large))
    await gate.arrived.acquire()

    second = await world.post("/v1/track", large)

    assert_error(second, 503, "ingest.busy")
    gate.open.set()
    assert (await held).status_code == 200
    assert (await world.post("/v1/track", large)).status_code == 200


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
