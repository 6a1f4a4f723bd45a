"""Bodies of tracking requests: encodings, sizes, what is no JSON, what does not arrive."""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable

import cramjam
import pytest

from clm_ingest.handlers import Bounds
from tests.support.ingest_world import BASIC, EVENT, IngestWorld, assert_error


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"]
)
async def test_the_body_is_json_whatever_it_is_called(
    world: IngestWorld, content_type: str | None
) -> None:
    headers = BASIC | ({"content-type": content_type} if content_type else {})

    answer = await world.post("/v1/track", EVENT, headers=headers)

    assert answer.status_code == 200


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


async def test_a_body_that_does_not_arrive_is_a_408(world: IngestWorld) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b'{"batch":'
        await asyncio.sleep(30)
        yield b"[]}"

    answer = await world.http.post("/v1/batch", content=slow(), headers=BASIC)

    assert_error(answer, 408, "body.too_slow")
    assert answer.headers["connection"] == "close"
