"""The HTTP side: pages for people below `/`, JSON for programs below `/api`.

Mails are strangers: their HTML is only ever served into a sandbox without scripts, under a policy
of its own, and everything else of theirs is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from clm_local.mail import pages
from clm_local.mail.content import Content, take_apart
from clm_local.mail.store import Store, Summary

OURS = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
THEIRS = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "
    "img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https: data:"
)
DEFAULT_COUNT = 200
LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"]


def application(store: Store, *, local_only: bool = True) -> Starlette:
    """Build the pages and the API over a store.

    `local_only` answers to no other host name than this machine's, so that no web page elsewhere
    can reach the mails by giving its own name our address.
    """
    web = _Web(store)
    routes = [
        Route("/", web.index),
        Route("/style.css", _fixed(pages.STYLE, "text/css")),
        Route("/page.js", _fixed(pages.SCRIPT, "text/javascript")),
        Route("/health", web.health),
        Route("/messages/{id}", web.page),
        Route("/messages/{id}/html", web.html),
        Route("/messages/{id}/source", web.source),
        Route("/messages/{id}/parts/{number:int}", web.part),
        Route("/api/messages", web.listing, methods=["GET"]),
        Route("/api/messages", web.clear, methods=["DELETE"]),
        Route("/api/messages/{id}", web.message),
    ]
    guards = [Middleware(TrustedHostMiddleware, allowed_hosts=LOCAL_HOSTS)] if local_only else []
    return Starlette(routes=routes, middleware=guards)


class _Web:
    """The endpoints."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def index(self, request: Request) -> Response:
        to = request.query_params.get("to", "")
        found = self._store.newest_first(to)
        return _page(pages.index(found[:DEFAULT_COUNT], total=len(found), to=to))

    async def page(self, request: Request) -> Response:
        summary, content = self._found(request)
        if summary is None or content is None:
            return _page(pages.missing(), status=404)
        return _page(pages.message(summary, content))

    async def html(self, request: Request) -> Response:
        summary, content = self._found(request)
        if summary is None or content is None:
            return PlainTextResponse("no such mail", 404)
        body = pages.opening_links_elsewhere(
            content.html_with_pictures(f"{request.base_url}messages/{summary.id}/parts/")
        )
        return HTMLResponse(body, headers=_guarded(THEIRS))

    async def source(self, request: Request) -> Response:
        source = self._store.source(request.path_params["id"])
        if source is None:
            return PlainTextResponse("no such mail", 404)
        return PlainTextResponse(source, headers=_guarded(THEIRS))

    async def part(self, request: Request) -> Response:
        _, content = self._found(request)
        number = request.path_params["number"]
        part = (
            next((part for part in content.parts if part.number == number), None)
            if content
            else None
        )
        if part is None:
            return PlainTextResponse("no such part", 404)
        inline = part.content_type.startswith("image/") and part.content_type != "image/svg+xml"
        headers = _guarded(THEIRS) | {
            "content-disposition": "inline" if inline else "attachment",
        }
        kind = part.content_type if inline else "application/octet-stream"
        return Response(part.content, media_type=kind, headers=headers)

    async def listing(self, request: Request) -> Response:
        found = self._store.newest_first(request.query_params.get("to", ""))
        limit = request.query_params.get("limit", str(DEFAULT_COUNT))
        if not limit.isdecimal():
            return JSONResponse({"detail": "limit must be a whole number"}, 400)
        messages = [_as_json(summary) for summary in found[: int(limit)]]
        return JSONResponse({"total": len(found), "messages": messages})

    async def message(self, request: Request) -> Response:
        summary, content = self._found(request)
        if summary is None or content is None:
            return JSONResponse({"detail": "no such mail"}, 404)
        parts = [
            {"number": part.number, "name": part.name, "content_type": part.content_type}
            for part in content.parts
        ]
        detail = {
            "headers": content.headers,
            "text": content.text,
            "html": content.html,
            "parts": parts,
        }
        return JSONResponse(_as_json(summary) | detail)

    async def clear(self, _request: Request) -> Response:
        return JSONResponse({"deleted": self._store.clear()})

    def _found(self, request: Request) -> tuple[Summary | None, Content | None]:
        name = request.path_params["id"]
        source = self._store.source(name)
        return self._store.summary(name), None if source is None else take_apart(source)


def _as_json(summary: Summary) -> dict[str, Any]:  # Any: the values of JSON
    received = datetime.fromtimestamp(summary.received_at / 1_000_000, UTC)
    return asdict(summary) | {"received_at": received.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _page(body: str, status: int = 200) -> Response:
    return HTMLResponse(body, status, headers=_guarded(OURS))


def _fixed(text: str, media_type: str) -> Callable[[Request], Response]:
    def endpoint(_request: Request) -> Response:
        return Response(text, media_type=media_type, headers=_guarded(OURS))

    return endpoint


def _guarded(policy: str) -> dict[str, str]:
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
