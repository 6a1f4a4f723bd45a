"""The ASGI app in front of every service: probes, metrics, and a polite answer while starting.

It is there before the service is, so `/health` answers from the first moment on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, Final

import msgspec

from clm_common import telemetry
from clm_common.runtime.probes import Probes
from clm_common.runtime.problem import Problem, send_problem

Scope = MutableMapping[str, Any]  # Any: ASGI's own
Message = MutableMapping[str, Any]  # Any: ASGI's own
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

ROUTE: Final = "clm.route"
"""A shim in front of FastAPI names its route here in the scope, for the metrics."""

_NOT_YET: Final = Problem(
    status=503,
    slug="service.starting",
    title="The service is starting",
    detail="Try again in a second.",
)

_SOON: Final = (b"retry-after", b"1")
_EXPOSED: Final = (b"access-control-expose-headers", b"Retry-After")


_requests: Final = lru_cache(maxsize=1_024)(telemetry.HTTP_REQUESTS.labels)
_seconds: Final = lru_cache(maxsize=256)(telemetry.HTTP_SECONDS.labels)
# To look a metric up by its labels costs more than to count with it.


async def not_yet(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer that the service is starting, and when to ask again."""
    await send_problem(send, _NOT_YET, headers=[_SOON, *_readable(scope)])


class Front:
    """Answers `/health`, `/ready` and `/metrics`; everything else is the service's."""

    def __init__(self, probes: Probes, *, ops: bool = True, early: ASGIApp | None = None) -> None:
        """Make a front without a service behind it yet.

        Args:
            probes: what the probes answer from.
            ops: False where they have a port of their own.
            early: what answers until the service is there; by default it asks to wait, as
                problem+json.
        """
        self.app: ASGIApp | None = None
        self._early = early or not_yet
        self._routes = ops_routes(probes) if ops else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if (answer := self._routes.get(scope["path"])) is not None:
            await answer(scope, receive, send)
        elif self.app is None:
            await self._early(scope, receive, send)
        else:
            await self._count(self.app, scope, receive, send)

    async def _count(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and count what became of it."""
        began = time.perf_counter()
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, watch)
        finally:
            route = _route(scope)
            _requests(scope["method"], route, status).inc()
            _seconds(route).observe(time.perf_counter() - began)


class Ops:
    """Only the probes, for a port of their own."""

    def __init__(self, probes: Probes) -> None:
        """Make it.

        Args:
            probes: what the probes answer from.
        """
        self._routes = ops_routes(probes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        answer = self._routes.get(scope["path"], _not_found)
        await answer(scope, receive, send)


def ops_routes(probes: Probes) -> dict[str, ASGIApp]:
    """Give the three open routes by path."""

    async def health(_scope: Scope, _receive: Receive, send: Send) -> None:
        body = {"alive": True, "service": probes.service, "state": probes.state}
        await _send(send, 200, b"application/json", msgspec.json.encode(body))

    async def ready(_scope: Scope, _receive: Receive, send: Send) -> None:
        report = await probes.report()
        status = 200 if report.ready else 503
        await _send(send, status, b"application/json", msgspec.json.encode(report))

    async def metrics(_scope: Scope, _receive: Receive, send: Send) -> None:
        await _send(send, 200, telemetry.EXPOSITION.encode(), telemetry.exposition())

    return {"/health": health, "/ready": ready, "/metrics": metrics}


async def _not_found(_scope: Scope, _receive: Receive, send: Send) -> None:
    problem = Problem(status=404, slug="http.not_found", title="There is no such address")
    await send_problem(send, problem)


async def _send(send: Send, status: int, kind: bytes, body: bytes) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _readable(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Let a page read that it has to wait; else its script takes us for unreachable."""
    origins = [value for name, value in scope["headers"] if name == b"origin"]
    return [(b"access-control-allow-origin", origins[-1]), _EXPOSED] if origins else []


def _route(scope: Scope) -> str:
    """Give the route's template, so that ids in paths do not become metrics."""
    if named := scope.get(ROUTE):
        return str(named)
    return str(getattr(scope.get("route"), "path", "other"))
