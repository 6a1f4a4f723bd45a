"""ETags: an answer that has not changed is not sent again (RFC 9110, 8.8.3 and 13.1.2)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from clm_common.runtime.front import ASGIApp, Message, Receive, Scope, Send

_JSON: Final = b"application/json"
_REVALIDATE: Final = (b"cache-control", b"private, no-cache")
_OURS: Final = frozenset({b"cache-control"})
_OF_A_BODY: Final = frozenset({b"content-length", b"content-type"})


class Etags:
    """ASGI middleware: adds an ETag to JSON answers to GET, and answers 304 to who has it already.

    The tag is a hash of the body. Answers that come in pieces (streams) pass as they are.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of an app.

        Args:
            app: whose answers to tag.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def tagged(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_json(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if not message.get("more_body", False):
                    await _send_tagged(send, start, message, _known(scope["headers"]))
                    return
                await send(start)
            await send(message)

        await self._app(scope, receive, tagged)


def _is_json(start: Message) -> bool:
    headers: dict[bytes, bytes] = dict(start.get("headers", ()))
    good = start["status"] == HTTPStatus.OK
    return good and headers.get(b"content-type", b"").startswith(_JSON)


def _known(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """Give the tags that the caller has, weak ones as if they were strong."""
    listed = (value for name, value in headers if name == b"if-none-match")
    return {tag.strip().removeprefix(b"W/") for value in listed for tag in value.split(b",")}


async def _send_tagged(send: Send, start: Message, body: Message, known: set[bytes]) -> None:
    tag = b'"' + blake2b(body.get("body", b""), digest_size=16).hexdigest().encode() + b'"'
    headers = [header for header in start.get("headers", ()) if header[0].lower() not in _OURS]
    headers += [_REVALIDATE, (b"vary", b"authorization"), (b"etag", tag)]
    if tag in known or b"*" in known:
        headers = [header for header in headers if header[0].lower() not in _OF_A_BODY]
        await send({**start, "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({**start, "headers": headers})
    await send(body)
