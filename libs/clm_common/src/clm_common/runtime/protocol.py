"""HTTP/1.1 as uvicorn and httptools speak it, with bounds on what comes before a request is known.

Before the head of a request is complete no app can refuse it, so its size and its time are bounded
here. A connection on which nothing is asked is closed like one that has been idle for too long.
An answer's head leaves together with its body: uvicorn writes them one by one, and to write to a
connection is the most expensive thing a small request does.
Nobody here speaks anything else: who offers another protocol (Java's HTTP client does, by `Upgrade:
h2c`) is answered as if they had not, while httptools would take their body for the new protocol's.
What is not HTTP is answered as the rest of our errors are, in JSON that any page can read.
"""

from __future__ import annotations

import asyncio
from typing import Final, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 64 * 1024
"""Bytes that a head may have while it is not complete; what arrives with its end is not counted."""

HEAD_SECONDS: Final = 10.0
"""Seconds between the first byte of a head and its last."""

WHOLE: Final = "clm.whole"
"""Stands in a request's scope once its body has arrived to the end."""

_HEAD: Final = b"HTTP/1.1 "
_CONTINUE: Final = b"HTTP/1.1 100"

_INVALID: Final = (
    b"400 Bad Request",
    "http.invalid",
    "this is no HTTP request",
    "send HTTP/1.1, with a body as long as its head says",
)
_TOO_LARGE: Final = (
    b"431 Request Header Fields Too Large",
    "http.head_too_large",
    "the request's head is too large",
    f"request line and headers may have {HEAD_BYTES:,} bytes",
)


class _Joining:
    """A connection to write to that holds the head of an answer back until what follows it.

    Whatever ends an answer sends its head, if nothing else did: bytes, even none, `close`, `flush`.
    """

    __slots__ = ("_head", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD) and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._transport.write(data)

    def flush(self) -> None:
        if self._head and not self.is_closing():
            self.write(b"")

    def close(self) -> None:
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """One connection; costs a request a few comparisons when its head arrives in one piece."""

    head_bytes = HEAD_BYTES
    head_seconds = HEAD_SECONDS

    _head_size = 0
    _head_until: float | None = None
    _offered = False
    """The head that was read last offers another protocol; it is read once more without that."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own
        """Wait for a first request no longer than for a next one."""
        super().connection_made(transport)
        self._joining = self.transport = _Joining(transport)  # type: ignore[assignment] # has what is used of it
        self._close_after(self.timeout_keep_alive)

    def on_message_begin(self) -> None:
        """Begin with a head."""
        super().on_message_begin()
        self._head_size = 0
        self._head_until = self.loop.time() + self.head_seconds

    def on_headers_complete(self) -> None:
        """End the head."""
        self._head_until = None
        self._offered = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._offered:
            super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Send the head of an answer that has no body."""
        self._joining.flush()
        super().on_response_complete()

    def on_message_complete(self) -> None:
        """Say in the scope that nothing of the body has to be waited for."""
        if self._offered:
            return
        cast("dict[str, object]", self.scope)[WHOLE] = True
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and hold a head that is not complete to its bounds."""
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.send_400_response("")
        if self.transport.is_closing():
            return
        if self._head_until is None:
            if getattr(self.cycle, "response_complete", True):  # there may be no request yet
                self._close_after(self.timeout_keep_alive)  # it was of a body that nobody reads
            return
        self._head_size += len(data)
        if self._head_size > self.head_bytes:
            self._refuse(*_TOO_LARGE)
        else:
            self._close_after(self._head_until - self.loop.time())

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = self._without_offer() + data[offer.args[0] :]
                self.parser = httptools.HttpRequestParser(self)

    def _without_offer(self) -> bytes:
        """Write the head anew that offers another protocol, without the offer."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [b"%b: %b\r\n" % it for it in self.headers if it[0] != b"upgrade"]
        return b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, b"".join(kept))

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        del msg  # says nothing more
        self._refuse(*_INVALID)

    def _close_after(self, seconds: float) -> None:
        """Close the connection then, unless something arrives before."""
        self._unset_keepalive_if_required()
        handler = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(max(0.0, seconds), handler)

    def _refuse(self, status: bytes, code: str, message: str, detail: str) -> None:
        body = msgspec.json.encode({"code": code, "message": message, "detail": detail})
        head = (
            b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"access-control-allow-origin: *\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head % (status, len(body)) + body)
        self.transport.close()
