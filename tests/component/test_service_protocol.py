"""What a connection may do before its request is known."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from clm_common.runtime.listener import listen
from clm_common.runtime.protocol import BoundedProtocol

FINE = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of what was sent."""
    size = 0
    while True:
        event = await receive()
        size += len(event.get("body", b""))
        if not event.get("more_body"):
            break
    body = json.dumps({"path": scope["path"], "size": size}).encode()
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[int]:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.3)
    async with listen(echo, "127.0.0.1", 0, 1).running() as bound:
        yield bound


async def conversation(port: int, *chunks: bytes, pause: float = 0.0) -> bytes:
    """Say something, piece by piece, and give everything that is answered until the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)
    except ConnectionError:
        pass  # it was cut off, which the answer says
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def assert_refused(answer: bytes, status: bytes, code: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert b"access-control-allow-origin: *" in head
    told: dict[str, Any] = json.loads(body)  # Any: JSON
    assert told.keys() == {"code", "message", "detail"}
    assert told["code"] == code


async def ask(port: int, *chunks: bytes) -> bytes:
    """Ask something and wait for the first answer alone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
    writer.close()
    return head + body


async def test_a_request_may_come_in_pieces_and_several_over_one_connection(port: int) -> None:
    halves = await ask(port, FINE[:20], FINE[20:])
    large = await ask(
        port, b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1_000_000
    )
    last = FINE.replace(b"Host: t", b"Host: t\r\nConnection: close")
    pipelined = await conversation(port, FINE + FINE, last)

    assert b'"size": 2' in halves
    assert b'"size": 1000000' in large
    assert pipelined.count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize("line", [b"X-A: b\r\n", b"x"])
async def test_a_head_that_does_not_end_is_refused_once_it_is_too_large(
    port: int, line: bytes
) -> None:
    begun = b"GET / HTTP/1.1\r\nHost: t\r\n" + line * (60_000 // len(line))

    answer = await conversation(port, begun, line * (6_000 // len(line)), pause=0.1)

    assert_refused(answer, b"431 ", "http.head_too_large")


async def test_a_head_that_trickles_in_is_cut_off(port: int) -> None:
    began = asyncio.get_running_loop().time()

    answer = await conversation(port, b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 1_000, pause=0.05)

    assert answer == b""
    assert asyncio.get_running_loop().time() - began < 15


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /\xff\xfe HTTP/1.1\r\nHost: t\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_answered_in_json(port: int, nonsense: bytes) -> None:
    assert_refused(await conversation(port, nonsense), b"400 ", "http.invalid")


async def test_a_connection_on_which_nothing_is_asked_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clm_common.runtime.listener._KEEP_ALIVE", 0.2)
    async with listen(echo, "127.0.0.1", 0, 1).running() as port:
        assert await conversation(port) == b""
