"""Spoiled HTTP over real connections: each is answered or closed in time, and no answer is a 5xx.

`CLM_TEST_FUZZ` says how many examples the property tries.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clm_common.runtime.listener import listen
from clm_common.runtime.openapi import app_of
from clm_common.runtime.protocol import BoundedProtocol
from clm_ingest import api
from clm_ingest.cors import Cors
from clm_ingest.handlers import Bounds
from tests.support.fuzzing import examples, splintered
from tests.support.ingest_world import BASIC, EVENT, IngestWorld

SOON = 0.1
BODY = json.dumps(EVENT).encode()
KEY = f"Authorization: {BASIC['authorization']}\r\n".encode()
ANSWERS = {200, 400, 401, 404, 405, 408, 413, 415, 431}
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def request(head: bytes, body: bytes = b"", *, path: bytes = b"/v1/track") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: t\r\n%b%b\r\n%b" % (path, KEY, head, body)


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(it), it) for it in pieces) + b"0\r\n\r\n"


OFFER = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKS = b"Transfer-Encoding: chunked\r\n"
GOOD = [
    request(LENGTH, BODY),
    request(LENGTH + OFFER, BODY),
    request(LENGTH + b"Expect: 100-continue\r\n", BODY),
    request(CHUNKS, chunked(BODY, 30)),
    request(CHUNKS + OFFER, chunked(BODY, 100)),
    request(b"Content-Length: 20000\r\n", BODY),
    request(b"Content-Encoding: gzip\r\n" + LENGTH, BODY),
    request(LENGTH, BODY, path=b"/v1/nothing"),
    request(LENGTH, BODY).replace(KEY, b""),
    b"OPTIONS /v1/t HTTP/1.1\r\nOrigin: https://s\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    b"GET /v1/pixel/track?data=%7B HTTP/1.0\r\n\r\n",
]
TALKS = st.lists(st.sampled_from(GOOD), min_size=1, max_size=3).map(b"".join)


class Line:
    """An ingest that listens with short patience."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        bounds = Bounds(body_bytes=10_000, read_seconds=SOON)
        self.world = IngestWorld(bounds, rest=Cors(app_of(api)))
        self._port: asyncio.Future[int] = loop.create_future()
        self._end = asyncio.Event()
        self._running = loop.create_task(self._run())

    async def _run(self) -> None:
        await self.world.keyring.refresh()
        async with listen(self.world.app, "127.0.0.1", 0, 1).running() as port:
            self._port.set_result(port)
            await self._end.wait()
        await self.world.http.aclose()

    async def talk(self, parts: list[bytes]) -> bytes:
        """Say something in parts, and give everything that is answered until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", await self._port)
        try:
            async with asyncio.timeout(20):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                return await reader.read()
        except ConnectionError:
            return b""  # closed while we talked
        finally:
            writer.close()

    def end(self) -> None:
        """Listen no longer."""
        self._end.set()
        self.loop.run_until_complete(self._running)


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    loop = asyncio.new_event_loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoundedProtocol, "head_seconds", SOON)
        patch.setattr("clm_common.runtime.listener._KEEP_ALIVE", SOON)
        line = Line(loop)
        yield line
        line.end()
    loop.close()


@settings(max_examples=examples(30))
@given(
    talk=TALKS | splintered(TALKS),
    cuts=st.lists(st.integers(0, 600), max_size=3).map(sorted),
)
@example(talk=b"\r\n", cuts=[])
@example(talk=request(b"Content-Length: 20000\r\n", BODY) + b"x", cuts=[100, 300])
def test_whatever_is_said_is_answered_or_closed_in_time(
    line: Line, talk: bytes, cuts: list[int]
) -> None:
    places = [0, *cuts, len(talk)]
    parts = [talk[begin:end] for begin, end in pairwise(places)]

    said = line.loop.run_until_complete(line.talk([it for it in parts if it]))

    statuses = {int(it) for it in STATUS.findall(said)} - {100}
    assert statuses <= ANSWERS
    assert statuses or not said
