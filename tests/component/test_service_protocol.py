"""What a connection may do before its request is known."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from clm_common.runtime.listener import listen
from clm_common.runtime.protocol import BoundedProtocol

FINE = b"POST /a HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}"


async def bodiless(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with a head alone."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def slow(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with a head, and the body in two parts, the second after a while."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await asyncio.sleep(0.2)
    await send({"type": "http.response.body", "body": b"last"})


async def halting(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Begin an answer and fail."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise RuntimeError("on purpose")


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


async def refusing(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer without a look at the body."""
    await send(
        {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}
    )
    await send({"type": "http.response.body"})


async def test_a_body_that_is_not_sent_to_its_end_after_the_answer_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clm_common.runtime.listener._KEEP_ALIVE", 0.2)
    begun = FINE.replace(b"Length: 2", b"Length: 100")
    async with listen(refusing, "127.0.0.1", 0, 1).running() as port:
        nothing = await conversation(port, b"\r\n", pause=0.05)
        answer = await conversation(port, begun, b"more", pause=0.05)
        whole = await conversation(port, begun + b"x" * 98 + FINE[:20], FINE[20:], pause=0.05)

    assert nothing == b""
    assert answer.count(b"HTTP/1.1 401") == 1
    assert whole.count(b"HTTP/1.1 401") == 2


@pytest.mark.parametrize(
    ("app", "head", "status"),
    [
        (echo, FINE.replace(b"POST", b"HEAD"), b"200 OK"),
        (bodiless, FINE, b"204 No Content"),
        (halting, FINE, b"200 OK"),
    ],
)
async def test_an_answer_without_a_body_is_sent(app: ASGIApp, head: bytes, status: bytes) -> None:
    async with listen(app, "127.0.0.1", 0, 1).running() as port:
        last = head.replace(b"Host: t", b"Host: t\r\nConnection: close")
        answer = await conversation(port, last)

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"\r\n\r\n")


async def test_a_body_that_comes_in_parts_is_sent_part_by_part() -> None:
    async with listen(slow, "127.0.0.1", 0, 1).running() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(FINE)
        first = await reader.readuntil(b"first\r\n")
        last = await reader.readuntil(b"0\r\n\r\n")
        writer.close()

    assert first.startswith(b"HTTP/1.1 200 OK\r\n")
    assert last == b"4\r\nlast\r\n0\r\n\r\n"


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"


def offering(request: bytes) -> bytes:
    return request.replace(b"Host: t\r\n", b"Host: t\r\n" + OFFER)


CHUNKED = b"POST /a HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


@pytest.mark.parametrize("request_", [FINE, CHUNKED], ids=["with a length", "chunked"])
@pytest.mark.parametrize("cut", [20, -25, -2, 1_000])
async def test_who_offers_another_protocol_is_answered_in_ours(
    port: int, request_: bytes, cut: int
) -> None:
    offer = offering(request_)
    last = FINE.replace(b"Host: t", b"Host: t\r\nConnection: close")

    answers = await conversation(port, offer[:cut], offer[cut:] + offer, last, pause=0.05)

    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b'"size": 2') == 3


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_an_offer_without_a_body_is_passed_over_too(port: int, protocol: bytes) -> None:
    offer = OFFER.replace(b"h2c", protocol) + b"Host: t\r\n\r\n"

    answers = await conversation(
        port, b"GET /a HTTP/1.1\r\n" + offer, b"GET /b HTTP/1.0\r\n" + offer
    )

    assert answers.count(b"HTTP/1.1 200") == 2
    assert b'"path": "/b"' in answers


async def test_a_tunnel_is_refused(port: int) -> None:
    tunnel = b"CONNECT t:443 HTTP/1.1\r\nHost: t\r\n" + OFFER + b"\r\n"

    assert_refused(await conversation(port, tunnel), b"400 ", "http.invalid")


async def test_a_sender_that_waits_to_be_asked_for_its_body_is_asked(port: int) -> None:
    head, _, body = FINE.partition(b"{")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.replace(b"Host: t", b"Host: t\r\nExpect: 100-continue"))

    asked = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"{" + body)
    answer = await reader.readuntil(b"}")
    writer.close()

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert b'"size": 2' in answer
