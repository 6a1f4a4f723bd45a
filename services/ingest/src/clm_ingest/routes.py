"""Every route that ingest answers itself, one line each; FastAPI has the rest.

A route is added by a line here (see `table.Route`): it is found, measured and documented by it.
One that takes events says how its body is opened (`Intake.unpack`, pure) and how it answers
(`Intake.tell`); any other gives a function of the `Desk`.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Receive

from clm_common.contracts.touchpoint import TYPES, Touchpoint, TouchpointType
from clm_ingest import answers, script
from clm_ingest.answers import Answer
from clm_ingest.core import cloudevents, pixel
from clm_ingest.core.credentials import write_key_of
from clm_ingest.core.parcel import Limits, Parcel, unpack_batch, unpack_single
from clm_ingest.core.request import Request
from clm_ingest.core.rudder_spec import source_config_of, unpack_merge
from clm_ingest.core.segment_spec import SHORT, settings_of
from clm_ingest.core.unopened import Unpack
from clm_ingest.lines import posted, posts, taking
from clm_ingest.manual_schemas import Batch, CloudEvent, Merge, SourceConfig
from clm_ingest.routes_hooks import HOOKS
from clm_ingest.routes_posthog import POSTHOG
from clm_ingest.table import Desk, Doc, Intake, Route, Takes

_STORED: Final = (
    "Answered after Kafka's acknowledgement. A repeat with the same `messageId` counts once."
)
_VERDICTS: Final = f"Each event gets its own verdict. {_STORED}"


def _single(kind: TouchpointType) -> Unpack:
    def unpack(body: bytes, _request: Request, _limits: Limits) -> Parcel:
        return unpack_single(body, kind)

    return unpack


def _batch(body: bytes, _request: Request, limits: Limits) -> Parcel:
    return unpack_batch(body, limits)


def _import(body: bytes, _request: Request, limits: Limits) -> Parcel:
    return unpack_batch(body, limits, historical=True)


def _in_query(kind: TouchpointType) -> Unpack:
    def unpack(_body: bytes, request: Request, _limits: Limits) -> Parcel:
        return pixel.unpack(request.query, kind)

    return unpack


def _call(kind: TouchpointType) -> Route:
    doc = posted(f"Send one {kind} event", _STORED, Takes(Touchpoint))
    jitsu = (f"/api/s/{kind}", f"/api/s/s2s/{kind}")
    return posts(f"/v1/{kind}", _single(kind), doc, f"/v1/{SHORT[kind]}", *jitsu)


_DATA: Final = ("data", "The event: JSON, plain or in base64.")
_KEY: Final = ("writeKey", "The write key, unless it stands in `data`.")
_FIELD: Final = "Another field of the event; `properties.x`, `traits.x` and `context.x` go inwards."


def _pixel(kind: TouchpointType) -> Route:
    doc = Doc(
        f"Send one {kind} event by an image's address",
        "Always answered 200 with a transparent GIF. What is refused is in the quarantine.",
        query=(_DATA, _KEY, ("userId", _FIELD), ("anonymousId", _FIELD), ("event", _FIELD)),
        gives="image/gif",
    )
    intake = Intake(_in_query(kind), answers.tell, always=answers.PIXEL, bodiless=True)
    also = (f"/pixel/v1/{kind}", f"/api/px/{kind}")
    return taking("GET", f"/v1/pixel/{kind}", intake, doc, *also)


async def _settings(desk: Desk, request: Request, _receive: Receive) -> Answer:
    key = request.params["write_key"]
    desk.keys_of(key)
    protocol, _, host = desk.address(request).partition("://")
    return answers.document(settings_of(key, api_host=f"{host}/v1", protocol=protocol))


async def _source_config(desk: Desk, request: Request, _receive: Receive) -> Answer:
    header = request.header
    key = write_key_of(header(b"authorization"), header(b"x-write-key"), request.query)
    keys = desk.keys_of(key)
    config = source_config_of(key or "", source=keys.source, workspace=keys.workspace)
    return answers.document(config)


SEGMENT: Final = (
    *(_call(kind) for kind in TYPES),
    posts(
        "/v1/batch",
        _batch,
        posted("Send several events", _VERDICTS, Takes(Batch), Takes(Batch, "text/plain")),
        *("/v1/b", "/beacon/v1/batch", "/api/s/batch", "/api/s/s2s/batch"),
    ),
    posts(
        "/v1/import",
        _import,
        posted(
            "Import events from the past",
            "As `/v1/batch`, but nobody is written to because of them: they are marked "
            "`historical`. A batch with `historical: true` is an import, too. Segment's libraries "
            "for Java, Ruby, PHP and .NET send here what happens now: where the context's "
            f"`library` is one of them, only `historical: true` makes it an import. {_VERDICTS}",
            Takes(Batch),
        ),
    ),
    *(_pixel(kind) for kind in TYPES),
    Route(
        "GET",
        "/v1/projects/{write_key}/settings",
        _settings,
        Doc(
            "What Segment's browser SDK loads before it sends anything",
            gives=dict[str, Any],
            errors=(401, 503),
            open=True,
        ),
    ),
)
"""Segment's calls, which RudderStack's and Jitsu's SDKs send to paths of their own, too."""

RUDDERSTACK: Final = (
    posts(
        "/v1/merge",
        unpack_merge,
        posted("Send one merge event", f"It becomes an alias. {_STORED}", Takes(Merge)),
    ),
    Route(
        "GET",
        "/sourceConfig",
        _source_config,
        Doc(
            "What RudderStack's browser SDK loads before it sends anything",
            gives=SourceConfig,
            errors=(401, 503),
        ),
    ),
)

CLOUDEVENTS: Final = (
    posts(
        "/v1/events",
        cloudevents.unpack,
        posted(
            "Send CloudEvents",
            "The Content-Type alone chooses the mode: `application/cloudevents-batch+json`, "
            "`application/cloudevents+json`, or anything else for binary mode, where attributes "
            f"stand in `ce-*` headers. `source` and `id` together count once. {_VERDICTS}",
            Takes(CloudEvent, f"{cloudevents.STRUCTURED}+json"),
            Takes(list[CloudEvent], f"{cloudevents.BATCHED}+json"),
            Takes(Any, "*/*"),
            tag="cloudevents",
        ),
    ),
)
DEFAULT: Final = (*SEGMENT, *RUDDERSTACK, *CLOUDEVENTS, *HOOKS)
"""The table, unless the settings add to it."""

ALL: Final = (*DEFAULT, *POSTHOG, *script.routes())
"""Every route there may be."""

OPENERS: Final[Mapping[str, Unpack]] = {
    route.intake.name: route.intake.unpack
    for route in ALL
    if route.intake is not None and route.intake.name is not None
}
"""What opens a request of the quarantine once more, by the name of its intake."""
