"""Spoiled requests of real SDKs, held against a slow reference: what lands, what is refused, why.

Every answer is one that is documented, nothing is a 5xx, and 200 means that every event is on Kafka
or in the quarantine. `CLM_TEST_FUZZ` says how many examples each property tries.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import cramjam
import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_ingest.core.parcel import Limits
from clm_ingest.handlers import Bounds
from tests.support import captured, ingest_oracle
from tests.support.documented import Documented
from tests.support.fuzzing import examples, splintered, spoiled, written
from tests.support.ingest_oracle import Expected, NotJson
from tests.support.ingest_world import BASIC, EVENT, IngestWorld, Recording

LIMITS = Limits(event_bytes=700, events=6)
BODIES = [
    json.loads(gzip.decompress(it.body) if it.body[:2] == b"\x1f\x8b" else it.body)
    for it in captured.ALL
    if it.path.startswith(("/v1/", "/beacon/", "/api/s/"))
]
BATCHES = [it for it in BODIES if "batch" in it] + [{"batch": [EVENT] * 5}]
SINGLES = [it for it in BODIES if "batch" not in it] + [EVENT]
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "identity": bytes,
    "gzip": gzip.compress,
    "gzip, gzip": lambda it: gzip.compress(gzip.compress(it)),
    "deflate": zlib.compress,
    "zstd": lambda it: bytes(cramjam.zstd.compress(it)),
    "gzip, br": lambda it: bytes(cramjam.brotli.compress(gzip.compress(it))),
}
MEDIA = ["application/json", "text/plain", "application/x-www-form-urlencoded", ""]
PACKINGS = st.tuples(st.sampled_from(sorted(WAYS)), st.sampled_from([0, 0, 1, 7, 300]))
DOCUMENTED = Documented("ingest")


class Fuzzed:
    """A world that is kept between the examples of a property, and what each has left there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        bounds = Bounds(limits=LIMITS, body_bytes=50_000, read_seconds=5, window_bytes=0)
        self.record = Recording()
        self.world = IngestWorld(bounds, producer=lambda _: self.record)
        self.loop.run_until_complete(self.world.keyring.refresh())

    def send(
        self, path: str, body: bytes, packing: tuple[str, int] = ("", 0), media: str = ""
    ) -> httpx.Response:
        """Send a body, packed in some way, in pieces of some size."""
        way, size = packing
        headers = BASIC | {"content-encoding": way, "content-type": media}
        return self.ask("POST", path, WAYS[way](body), headers, size)

    def ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], size: int = 0
    ) -> httpx.Response:
        """Ask anything; the answer is one that is documented, or the test has failed."""
        self.record.messages.clear()
        content: Any = body if not size else _pieces(body, size)  # Any: httpx's
        asking = self.world.http.request(method, path, content=content, headers=headers)
        answer = self.loop.run_until_complete(asyncio.wait_for(asking, 20))
        assert answer.status_code < 500, answer.text
        DOCUMENTED.check(answer)
        return answer

    @property
    def landed(self) -> list[tuple[bytes, dict[str, Any], bytes]]:  # Any: JSON
        """What the last request has published: key, event, and its bytes."""
        return [(it.key, json.loads(it.value), it.value) for it in self.record.on(TOUCHPOINTS)]

    @property
    def letters(self) -> list[tuple[int | None, str, str | None]]:
        """What the last request has put into the quarantine: place, reason, and message id."""
        written = self.record.on(TOUCHPOINTS_DLQ)
        letters = [msgspec.json.decode(it.value, type=DeadLetter) for it in written]
        return [(it.index, it.reason, it.message_id) for it in letters]


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[Fuzzed]:
    fuzzed = Fuzzed()
    yield fuzzed
    fuzzed.loop.run_until_complete(fuzzed.world.http.aclose())
    fuzzed.loop.close()


def assert_as_expected(fuzzed: Fuzzed, answer: httpx.Response, expected: Expected) -> None:
    told = answer.json()
    assert (answer.status_code, told.get("code")) == (expected.status, expected.code), told
    assert fuzzed.letters == [(it.index, it.code, it.message_id) for it in expected.refused]
    if expected.status == 200:
        assert told.get("rejected", []) == [
            {"index": it.index, "messageId": it.message_id, "code": it.code}
            for it in expected.refused
        ]
    assert len(fuzzed.landed) == len(expected.landed)
    for (key, event, raw), wanted in zip(fuzzed.landed, expected.landed, strict=True):
        assert key == f"acme:{wanted.customer}".encode()
        assert wanted.raw is None or raw == wanted.raw
        message_id = wanted.message_id or event["messageId"]
        assert isinstance(message_id, str)
        assert message_id
        secret = event.pop("writeKey", None)
        assert secret is None
        assert event == wanted.fields | {"messageId": message_id}


def assert_nothing_is_lost(fuzzed: Fuzzed, answer: httpx.Response, body: bytes) -> None:
    """Assert of a body that is no JSON what can be known without taking it apart."""
    letters = fuzzed.letters
    if answer.status_code == 200:
        told = [(it["index"], it["code"]) for it in answer.json().get("rejected", [])]
        assert told == [(index, reason) for index, reason, _ in letters]
        places = {index for index, _ in told}
        assert len(places) == len(told)
        assert all(index < len(told) + len(fuzzed.landed) for index in places)
    else:
        assert answer.status_code in {400, 413}
        assert fuzzed.landed == []
        kept = body.strip() and not answer.json()["code"].startswith("batch.")
        told = [(0, answer.json()["code"])] if kept else []
        assert [(index, reason) for index, reason, _ in letters] == told
    for _, event, raw in fuzzed.landed:
        assert ingest_oracle.read(raw) == event


def expected_of(path: str, body: bytes) -> Expected | None:
    """Ask the reference; None where the body is no JSON."""
    most = LIMITS.event_bytes
    try:
        if path == "/v1/batch":
            return ingest_oracle.of_batch(body, event_bytes=most, events=LIMITS.events)
        return ingest_oracle.of_single(body, path.rpartition("/")[2], event_bytes=most)
    except NotJson:
        return None


def check(
    fuzzed: Fuzzed, path: str, body: bytes, packing: tuple[str, int] = ("", 0), media: str = ""
) -> None:
    answer = fuzzed.send(path, body, packing, media)
    expected = expected_of(path, body)
    if expected is not None:
        assert_as_expected(fuzzed, answer, expected)
    else:
        assert_nothing_is_lost(fuzzed, answer, body)


FORMS = st.builds(
    written,
    spoiled(BATCHES),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, None, 0, 1]),
)


@settings(max_examples=examples(120))
@given(body=FORMS, packing=PACKINGS, media=st.sampled_from(MEDIA))
def test_every_event_of_a_spoiled_batch_gets_the_verdict_of_the_reference(
    fuzzed: Fuzzed, body: bytes, packing: tuple[str, int], media: str
) -> None:
    check(fuzzed, "/v1/batch", body, packing, media)


@settings(max_examples=examples(120))
@given(
    body=st.builds(written, spoiled(SINGLES), ascii_only=st.booleans()),
    kind=st.sampled_from(ingest_oracle.TYPES),
    packing=PACKINGS,
)
def test_a_spoiled_single_call_gets_the_verdict_of_the_reference(
    fuzzed: Fuzzed, body: bytes, kind: str, packing: tuple[str, int]
) -> None:
    check(fuzzed, f"/v1/{kind}", body, packing)


@settings(max_examples=examples(120))
@given(
    body=splintered(st.sampled_from([written(it) for it in BATCHES]) | FORMS),
    path=st.sampled_from(["/v1/batch", "/v1/batch", "/v1/track"]),
)
def test_bytes_that_were_a_batch_lose_no_event_that_can_be_read(
    fuzzed: Fuzzed, body: bytes, path: str
) -> None:
    check(fuzzed, path, body)


@settings(max_examples=examples(40))
@given(
    body=FORMS,
    way=st.sampled_from([it for it in sorted(WAYS) if it not in {"", "identity"}]),
    random=st.randoms(use_true_random=False),
)
def test_a_packed_body_that_was_damaged_is_refused_or_read_as_it_was(
    fuzzed: Fuzzed, body: bytes, way: str, random: Any
) -> None:
    packed = bytearray(WAYS[way](body))
    packed[random.randrange(len(packed))] ^= 1 << random.randrange(8)
    if random.random() < 0.3:
        del packed[random.randrange(len(packed)) :]

    answer = fuzzed.ask("POST", "/v1/batch", bytes(packed), BASIC | {"content-encoding": way})

    assert answer.status_code in {200, 400, 413}
    if answer.status_code != 200:
        kept = answer.status_code == 400 and packed.strip()
        letters = [(0, answer.json()["code"], None)] if kept else []
        assert (fuzzed.landed, fuzzed.letters) == ([], letters)
