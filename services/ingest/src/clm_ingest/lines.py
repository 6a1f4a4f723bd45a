"""Makes the lines of the route table that take events and answer as usual."""

from collections.abc import Awaitable
from typing import Final

from msgspec import structs
from starlette.types import Receive

from clm_ingest import answers
from clm_ingest.answers import Answer
from clm_ingest.core.request import Request
from clm_ingest.core.unopened import Unpack
from clm_ingest.manual_schemas import Accepted
from clm_ingest.table import Desk, Doc, Intake, Respond, Route, Takes

POSTED: Final = (400, 401, 403, 408, 413, 415, 429, 503)
"""The statuses of a POST that takes events, beside 200."""


def events(intake: Intake) -> Respond:
    """Make what answers a route that takes events."""

    def respond(desk: Desk, request: Request, receive: Receive) -> Awaitable[Answer]:
        return desk.take(request, receive, intake)

    return respond


def posts(path: str, unpack: Unpack, doc: Doc, *also: str) -> Route:
    """Make a route to which events are posted, with the usual answers."""
    return taking("POST", path, Intake(unpack, answers.tell), doc, *also)


def taking(method: str, path: str, intake: Intake, doc: Doc, *also: str) -> Route:
    """Make a route that takes events; a request that it cannot open is kept."""
    named = structs.replace(intake, name=f"{method} {path}")
    return Route(method, path, events(named), doc, also, named)


def posted(summary: str, description: str, *takes: Takes, tag: str = "tracking") -> Doc:
    """Document a route to which events are posted."""
    return Doc(summary, description, takes, gives=Accepted, errors=POSTED, tag=tag)
