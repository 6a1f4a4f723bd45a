"""Whatever a request holds, ingest never answers 5xx, and each event of a batch is kept."""

import asyncio
import base64
import gzip
import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_ingest.handlers import Bounds
from clm_ingest.routes import ALL
from tests.support.fuzzing import examples
from tests.support.ingest_world import BASIC, EVENT, KEY, IngestWorld, Recording

PATHS = sorted({(route.method, path) for route in ALL for path in route.paths})
POSTS = [path for method, path in PATHS if method == "POST"]
MEDIA = [
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/cloudevents+json",
    "application/cloudevents-batch+json; charset=utf-8",
    "nonsense",
    "",
]
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": bytes,
    "br": bytes,
    "nonsense": bytes,
}
IDS: st.SearchStrategy[Any] = (
    st.none() | st.text(max_size=5) | st.integers() | st.floats() | st.booleans() | st.just([])
)
TIMES = (
    st.none()
    | st.datetimes().map(str)
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["2026-W47-6", "2026-325", "20261121T195732Z", "Sat, 21 Nov 2026", 1e400])
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["$pageview", "$identify", "$set", "$create_alias", "$groupidentify", "E"])
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["track", "identify", "page", "alias", "merge", ""]) | VALUES,
        "event": NAMES | VALUES,
        "messageId": IDS,
        "userId": IDS,
        "anonymousId": IDS,
        "previousId": IDS,
        "timestamp": TIMES,
        "originalTimestamp": TIMES,
        "sentAt": TIMES,
        "properties": VALUES,
        "traits": VALUES,
        "context": VALUES,
        "writeKey": VALUES,
        "distinct_id": IDS,
        "uuid": IDS,
        "offset": TIMES,
        "$set": VALUES,
        "mergeProperties": VALUES,
        "specversion": st.just("1.0") | VALUES,
        "id": st.just("1") | VALUES,
        "source": st.just("/s") | VALUES,
        "data": VALUES,
        "data_base64": st.just("YQ==") | VALUES,
        "time": TIMES,
    },
)
BODIES = (
    EVENTS
    | st.lists(EVENTS | VALUES, max_size=3)
    | st.fixed_dictionaries({"batch": st.lists(EVENTS | VALUES, max_size=4) | VALUES})
    | VALUES
)


def written(value: Any) -> bytes:  # Any: JSON, and what Python writes that is none
    """Write it with NaN, infinities and lone surrogates as a careless sender does."""
    return json.dumps(value).encode()


class Asking:
    """Asks a world that is kept between the examples of a property."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.record = Recording()
        bounds = Bounds(body_bytes=100_000, read_seconds=5)
        self.world = IngestWorld(bounds, producer=lambda _: self.record)
        self.loop.run_until_complete(self.world.keyring.refresh())

    def __call__(self, method: str, path: str, **more: Any) -> httpx.Response:  # Any: httpx's
        self.record.messages.clear()
        url = path.replace("{write_key}", KEY)
        answer = self.loop.run_until_complete(self.world.http.request(method, url, **more))
        assert answer.status_code < 500, (answer.status_code, answer.text)
        if answer.headers["content-type"] == "application/json":
            body = answer.json()
            assert isinstance(body, dict)
            assert answer.status_code == 200 or body.keys() == {"code", "message", "detail"}
        return answer


@pytest.fixture(scope="module")
def ask() -> Iterator[Asking]:
    asking = Asking()
    yield asking
    asking.loop.run_until_complete(asking.world.http.aclose())
    asking.loop.close()


@settings(max_examples=examples(400), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    path=st.sampled_from(POSTS),
    body=BODIES.map(written)
    | st.binary(max_size=200)
    | st.text().map(lambda text: text.encode("utf-16")),
    media=st.sampled_from(MEDIA),
    packing=st.sampled_from(sorted(PACKINGS)),
    sent_at=TIMES.map(str),
)
def test_no_body_is_a_5xx(
    ask: Asking, path: str, body: bytes, media: str, packing: str, sent_at: str
) -> None:
    headers = [
        (b"authorization", BASIC["authorization"].encode()),
        (b"content-type", media.encode()),
        (b"content-encoding", packing.encode()),
        (b"sentat", sent_at.encode("utf-8", "replace").replace(b"\n", b"").replace(b"\r", b"")),
        (b"anonymousid", base64.b64encode(body[:40])),
    ]

    ask("POST", path, content=PACKINGS[packing](body), headers=headers)


@settings(max_examples=examples(200), suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    place=st.sampled_from(PATHS),
    query=st.binary(max_size=80).map(quote_from_bytes) | EVENTS.map(written).map(quote_from_bytes),
    name=st.sampled_from(["", "data=", "writeKey=", "data=%7B&_=", "properties.a=b&"]),
    header=st.binary(max_size=60),
)
def test_no_query_and_no_header_is_a_5xx(
    ask: Asking, place: tuple[str, str], query: str, name: str, header: bytes
) -> None:
    method, path = place
    clean = header.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"").strip()
    names = (
        b"authorization",
        b"origin",
        b"content-type",
        b"ce-id",
        b"ce-subject",
        b"content-length",
    )
    headers = [(b"x-write-key", KEY.encode()), *((each, clean) for each in names)]

    ask(method, f"{path}?{name}{query}", headers=headers)


@given(st.lists(EVENTS | VALUES, max_size=5))
@example([{"type": "track", "event": "E", "userId": "\ud800"}])
@example([{"type": "alias", "userId": "u", "previousId": "u"}])
@example([{"type": "track", "event": "E", "userId": 10**400}])
@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_every_event_of_a_batch_lands_or_is_quarantined(ask: Asking, events: list[Any]) -> None:
    for event in events:  # a repeat of another example's event would be held back
        if isinstance(event, dict) and type(event.get("messageId")) in {str, int, float}:
            event["messageId"] = f"{event['messageId']}{uuid.uuid4()}"

    answer = ask("POST", "/v1/batch", content=written({"batch": events}), headers=BASIC)

    assert answer.status_code == 200
    landed, kept = len(ask.record.on(TOUCHPOINTS)), len(ask.record.on(TOUCHPOINTS_DLQ))
    assert landed + kept == len(events)
    assert len(answer.json().get("rejected", [])) == kept


DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
ODD = {
    "deep": DEEP,
    "deep lists": b"[" * 20_000 + b"]" * 20_000,
    "deep in an event": b'{"batch":[{"userId":"u","properties":' + DEEP + b"}]}",
    "huge number": b'{"userId":"u","event":"E","properties":{"n":' + b"9" * 10_000 + b"}}",
    "huge id": b'{"event":"E","userId":' + b"9" * 10_000 + b"}",
    "huge exponent": b'{"userId":"u","event":"E","properties":{"n":1e999999999}}',
    "NaN": b'{"userId":"u","event":"E","properties":{"n":NaN}}',
    "surrogates": b'{"userId":"\\ud800","event":"\\udc00\\ud800"}',
    "nul": b'{"userId":"\\u0000","event":"E"}',
    "many keys": json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    "same key twice": b'{"userId":"a","userId":{},"event":"E","event":1}',
    "quotes": b'"' * 30_000,
    "commas": b'{"batch":[' + b"," * 50_000 + b"]}",
    "utf-16": json.dumps(EVENT).encode("utf-16"),
    "bom": b"\xef\xbb\xbf" + json.dumps(EVENT).encode(),
}


@pytest.mark.parametrize("path", POSTS)
def test_no_odd_body_is_a_5xx_on_any_route(ask: Asking, path: str) -> None:
    for media in ("application/json", "application/cloudevents+json"):
        for body in ODD.values():
            ask("POST", path, content=body, headers={**BASIC, "content-type": media})


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", ""])
def test_a_bomb_is_a_413_on_every_route(ask: Asking, path: str, encoding: str) -> None:
    packed = PACKINGS[encoding or "gzip"]
    headers = {**BASIC, "content-encoding": encoding}

    bomb = packed(b"[" * 10_000_000)
    answer = ask("POST", path.format(hook="stripe-payments"), content=bomb, headers=headers)

    assert answer.status_code == 413


@pytest.mark.parametrize("path", POSTS)
def test_a_thousand_headers_are_read_like_one(ask: Asking, path: str) -> None:
    flood = [(f"x-{n}".encode(), b"y" * 30) for n in range(1_000)]
    headers = [*flood, (b"authorization", BASIC["authorization"].encode())]

    ask("POST", path, content=json.dumps(EVENT).encode(), headers=headers)
