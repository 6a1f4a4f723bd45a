"""Lets pages of any origin read the answers of the app behind it, errors included.

Credentials are never allowed here: the admin API takes bearer tokens, and whoever has one may use
it from any page, but a browser shall not add anything by itself.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clm_ingest import answers

_METHOD: Final = b"access-control-request-method"
_HEADERS: Final = b"access-control-request-headers"


class Cors:
    """ASGI middleware: answers preflights, and makes other answers readable."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of an app.

        Args:
            app: whose answers are made readable.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        if not origin:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and _METHOD in headers:
            allowed = answers.preflight(headers.get(_HEADERS, b""))
            await answers.reply(send, allowed, origin, credentials=False)
            return

        async def readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *answers.readable_by(origin)]
            await send(message)

        await self._app(scope, receive, readable)
