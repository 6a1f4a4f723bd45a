"""The route table: which method and path is answered how, and how that is documented.

A route is one line of `routes.ALL`. The shim finds it, the tracking app runs it, and the OpenAPI
document is written from it, so a route that is not in the table does not exist, and one that is
cannot be forgotten anywhere.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

from msgspec import Struct
from starlette.types import Receive

from clm_ingest.answers import Answer
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.request import NO_PARAMS, Params, Request
from clm_ingest.core.unopened import Unpack
from clm_ingest.receiver import Received
from clm_ingest.store import Keys

Tell = Callable[[Parcel, Verdicts], Answer]
"""Says what became of the events, once all of them are on Kafka."""

_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Intake(Struct, frozen=True):
    """How events are taken in by a route.

    Attributes:
        unpack: opens the body.
        tell: answers after Kafka's acknowledgement.
        always: what is answered whatever happens, to senders that can do nothing about an error.
        bodiless: the events stand in the query; no body is read.
        received: the hook whose sender the body itself tells, by its signature.
        name: by which a request that cannot be opened is kept and opened once more later, such as
            `POST /v1/batch`; None where there are no events to keep.
    """

    unpack: Unpack
    tell: Tell
    always: Answer | None = None
    bodiless: bool = False
    received: Received | None = None
    name: str | None = None


class Desk(Protocol):
    """What a route may ask of the service."""

    async def take(self, request: Request, receive: Receive, intake: Intake) -> Answer:
        """Authenticate, read, admit, publish, and tell what became of the events."""
        ...

    def keys_of(self, write_key: str | None) -> Keys:
        """Give the source of a write key.

        Raises:
            Rejected: 401 if there is none, or it is not taken.
            Unavailable: it may exist, but the key store is away.
        """
        ...

    def hook_of(self, name: str) -> Received:
        """Give what stands behind the address of a webhook.

        Raises:
            Rejected: 404 if there is nothing, 403 if it is disabled.
            Unavailable: there may be something, but the key store is away.
        """
        ...

    def address(self, request: Request) -> str:
        """Give the URL under which senders reach us, without a slash at its end."""
        ...


Respond = Callable[[Desk, Request, Receive], Awaitable[Answer]]


class Takes(Struct, frozen=True):
    """A body a route takes, for the OpenAPI document.

    Attributes:
        schema: the type that describes it.
        media: its content type.
    """

    schema: object
    media: str = "application/json"


class Doc(Struct, frozen=True):
    """A route in the OpenAPI document.

    Attributes:
        summary: in a few words.
        description: what else one must know.
        takes: the body's forms, if there is a body.
        query: query parameters and what they are.
        gives: the schema of a 200, or a content type if it is no JSON.
        errors: the statuses of its errors.
        open: it needs no write key.
        tag: its group in the document.
    """

    summary: str
    description: str = ""
    takes: tuple[Takes, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    gives: object = None
    errors: tuple[int, ...] = ()
    open: bool = False
    tag: str = "tracking"


class Route(Struct, frozen=True):
    """One line of the table.

    Attributes:
        method: `GET` (which answers HEAD, too) or `POST`.
        path: its path; `{name}` stands for one segment. A slash at the end makes no difference.
        respond: answers it; what it raises is answered as an error.
        doc: how it is documented.
        also: other paths of the same route.
        intake: how it takes events in, if what it cannot open is kept.
    """

    method: str
    path: str
    respond: Respond
    doc: Doc
    also: tuple[str, ...] = ()
    intake: Intake | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """All of its paths."""
        return (self.path, *self.also)


class Found(Struct, frozen=True):
    """What there is at a path.

    Attributes:
        name: the path of the route, for metrics.
        methods: the routes by method.
        params: what stands in the places of the parameters.
    """

    name: str
    methods: dict[str, Route]
    params: Params = NO_PARAMS


class Table:
    """Finds routes; a plain path costs one look into a dict."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Make it.

        Args:
            routes: the lines; no two may have a method and a path in common.
        """
        self._plain: dict[str, Found] = {}
        self._patterns: list[tuple[re.Pattern[str], Found]] = []
        places: dict[str, Found] = {}
        for route in routes:
            for path in route.paths:
                if path not in places:
                    places[path] = Found(route.path, {})
                    self._place(path, places[path])
                _add(places[path].methods, path, route)

    def find(self, path: str) -> Found | None:
        """Give what there is at a path; None if there is nothing."""
        if (plain := self._plain.get(path)) is not None:
            return plain
        for pattern, found in self._patterns:
            if match := pattern.fullmatch(path):
                return Found(found.name, found.methods, match.groupdict())
        return None

    def _place(self, path: str, found: Found) -> None:
        if "{" in path:
            self._patterns.append((_pattern(path), found))
        else:
            self._plain[path] = self._plain[f"{path}/"] = found


def _add(methods: dict[str, Route], path: str, route: Route) -> None:
    for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
        if method in methods:
            raise ValueError(f"two routes answer {method} {path}")
        methods[method] = route


def _pattern(path: str) -> re.Pattern[str]:
    parts: Sequence[str] = _PARAMETER.split(path)  # text, name, text, name, …
    texts, names = parts[::2], parts[1::2]
    groups = [f"(?P<{name}>[^/]+)" for name in names] + [""]
    return re.compile("".join(map("".join, zip(map(re.escape, texts), groups, strict=True))) + "/?")
