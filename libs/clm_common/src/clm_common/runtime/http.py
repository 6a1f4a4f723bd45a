"""The HTTP face that every service shares: problem+json for whatever goes wrong, safe headers.

`new_app` makes the FastAPI app of a service; a shim in front of it answers hot routes itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

import msgspec
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from clm_common.errors import Rejected, Unavailable
from clm_common.runtime.front import ASGIApp, Message, Receive, Scope, Send
from clm_common.runtime.problem import CONTENT_TYPE, Fault, Problem, send_problem

log = structlog.get_logger()

RETRY_AFTER: Final = 1
"""Seconds after which a caller may try again when a server is away."""

_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_NOTHING_ACTIVE: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_ADVICE: Final = {
    404: "There is nothing at {path}.",
    405: "{path} does not take this method.",
}
_DOCUMENTED: Final[dict[str, Any]] = {  # Any: a JSON document
    "description": "A problem (RFC 9457)",
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_UNLABELLED: Final = Problem(
    status=415,
    slug="request.media_type",
    title="Unsupported Media Type",
    detail="The body must be JSON and called so: send `Content-Type: application/json`.",
)
_PAGES: Final = frozenset({"/docs", "/docs/oauth2-redirect"})
_OWN_ONLY: Final = (
    b"content-security-policy",
    (
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data:; frame-ancestors 'none'"
    ),
)  # Swagger UI starts itself by a script in the page


def new_app(name: str, *, title: str, description: str, version: str) -> FastAPI:
    """Make the FastAPI app of a service; its routes are added by the service.

    Args:
        name: the service's name.
        title: the API's name for people.
        description: what it is for, Markdown.
        version: of the API.
    """
    app = FastAPIOffline(  # the pages come from here: no CDN is asked, none has to be reached
        redoc_url=None,
        title=title,
        description=description,
        version=version,
        responses={"default": _DOCUMENTED},
        generate_unique_id_function=_name_of,
    )
    app.state.service = name
    app.add_exception_handler(Rejected, _on_rejected)
    app.add_exception_handler(Unavailable, _on_unavailable)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_middleware(Guard)
    _document(app)
    return app


def _name_of(route: APIRoute) -> str:
    return route.name


class Guard:
    """ASGI middleware: safe headers on every answer, and no internals in an unexpected error."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand in front of an app.

        Args:
            app: whom to guard.
        """
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        safe = (*_SAFE, _OWN_ONLY if scope["path"] in _PAGES else _NOTHING_ACTIVE)
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = _with(message.get("headers", ()), safe)
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except Exception as error:
            problem = unexpected(error, scope["method"], scope["path"])
            if begun:
                raise
            await send_problem(guarded, problem)


def unexpected(error: Exception, method: str, path: str) -> Problem:
    """Log an error under a new id, and give the problem that tells the caller only the id.

    Args:
        error: what went wrong.
        method: the request's.
        path: the request's.
    """
    instance = uuid4().urn
    log.error("http.unexpected", instance=instance, method=method, path=path, exc_info=error)
    return Problem(
        status=500,
        slug="http.unexpected",
        title="Something went wrong on our side",
        detail="It is logged under the id in `instance`.",
        instance=instance,
    )


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Make a response of a problem.

    Args:
        problem: what to say.
        headers: further headers.
    """
    return Response(
        problem.body(), problem.status, headers=dict(headers or {}), media_type=CONTENT_TYPE
    )


def _with(
    headers: Iterable[tuple[bytes, bytes]], safe: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """Add the safe headers that the answer does not set itself."""
    found = list(headers)
    names = {name.lower() for name, _ in found}
    return found + [header for header in safe if header[0] not in names]


async def _on_rejected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Rejected)  # noqa: S101 - registered for it
    problem = Problem(
        status=error.status,
        slug=error.slug,
        title=_phrase(error.status),
        detail=error.message,
        values=error.values,
    )
    return answer(problem, _challenge(error))


def _challenge(error: Rejected) -> dict[str, str]:
    """Say, as RFC 6750 wants it, what a token lacks."""
    if error.status == HTTPStatus.UNAUTHORIZED:
        reason = "" if error.slug == "token.missing" else ', error="invalid_token"'
        return {"www-authenticate": f'Bearer realm="clm"{reason}'}
    if error.status == HTTPStatus.FORBIDDEN and (scope := error.values.get("scope")):
        needed = f'Bearer realm="clm", error="insufficient_scope", scope="{scope}"'
        return {"www-authenticate": needed}
    return {}


async def _on_unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)  # noqa: S101 - registered for it
    log.warning("http.unavailable", reason=error.slug, detail=error.message, path=request.url.path)
    problem = Problem(
        status=503,
        slug=error.slug,
        title="A server we depend on is away",
        detail=f"Try again in {RETRY_AFTER} s.",
    )
    return answer(problem, {"retry-after": str(RETRY_AFTER)})


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    if isinstance(error.body, bytes):  # it was not read: nothing said that it is JSON
        return answer(_UNLABELLED)
    problem = Problem(
        status=422,
        slug="request.invalid",
        title="The request is not valid",
        detail="Mend what `errors` names and send it again.",
        errors=[_fault(each["loc"], each["msg"]) for each in error.errors()],
    )
    return answer(problem)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    phrase = _phrase(error.status_code)
    problem = Problem(
        status=error.status_code,
        slug=f"http.{phrase.lower().replace(' ', '_')}",
        title=phrase,
        detail=_ADVICE.get(error.status_code, str(error.detail)).format(path=request.url.path),
    )
    return answer(problem, error.headers)


def _fault(place: Sequence[int | str], message: str) -> Fault:
    """Say what is wrong with one part of a request, and where."""
    where, *path = (str(part) for part in place)
    if where == "body":
        steps = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path)
        return Fault(detail=message, pointer=f"#{steps}")
    return Fault(detail=message, parameter=".".join(path))


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


def _document(app: FastAPI) -> None:
    """Let the OpenAPI document say what a problem looks like."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:  # Any: a JSON document
        fresh = app.openapi_schema is None
        document = generate()
        if fresh:
            _, components = msgspec.json.schema_components(
                (Problem,), ref_template="#/components/schemas/{name}"
            )
            document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this way to extend it
