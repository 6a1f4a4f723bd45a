"""PostHog's capture endpoints, a second tier: they are there where `CLM_INGEST_POSTHOG` says so.

There are no feature flags, surveys or recordings here; the browser SDK is told so and sends events.
Of surveys it is told nothing: also where it hears that there are none, it loads their script.
"""

import uuid
from typing import Any, Final

import msgspec
from starlette.types import Receive

from clm_ingest import answers
from clm_ingest.answers import Answer
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.posthog import unpack, unpack_question, unpack_v1
from clm_ingest.core.request import Request
from clm_ingest.lines import POSTED, events, posted, posts, taking
from clm_ingest.manual_schemas import Results
from clm_ingest.table import Desk, Doc, Intake, Route, Takes

_TAG: Final = "posthog"
_SCRIPT: Final = "text/javascript"
_SCRIPT_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
_WHERE: Final = "Only where `CLM_INGEST_POSTHOG` is on; the write key is the project's token."
_CONFIG: Final[dict[str, Any]] = {  # Any: a JSON document
    "supportedCompression": ["gzip", "gzip-js", "base64"],
    "analytics": {"endpoint": "/e/"},
    "elementsChainAsString": True,
    "hasFeatureFlags": False,
    "defaultIdentifiedOnly": True,
    "isAuthenticated": False,
    "sessionRecording": False,
    "heatmaps": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "autocaptureExceptions": False,
    "siteApps": [],
    "toolbarParams": {},
}
_NO_FLAGS: Final[dict[str, Any]] = {  # Any: a JSON document
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
}


def _results(_parcel: Parcel, verdicts: Verdicts) -> Answer:
    """Answer with what became of each event, by its id."""
    results: dict[str, dict[str, str]] = {}
    for message in verdicts.admitted:
        results[dict(message.headers)["ce_id"].decode()] = {"result": "ok"}
    for refusal in verdicts.refused:
        if refusal.fault.message_id is not None:
            details = f"{refusal.fault.code}: {refusal.fault.detail}"
            results[refusal.fault.message_id] = {"result": "drop", "details": details}
    return Answer(200, msgspec.json.encode({"results": results}))


def _flags(_parcel: Parcel, _verdicts: Verdicts) -> Answer:
    return answers.document({**_CONFIG, **_NO_FLAGS, "requestId": str(uuid.uuid4())})


async def _config(desk: Desk, request: Request, _receive: Receive) -> Answer:
    return answers.document(_config_of(desk, request))


async def _config_script(desk: Desk, request: Request, _receive: Receive) -> Answer:
    config = _config_of(desk, request)
    known = msgspec.json.encode({config["token"]: {"config": config, "siteApps": []}})
    script = b"window._POSTHOG_REMOTE_CONFIG=Object.assign(window._POSTHOG_REMOTE_CONFIG||{},%b);"
    kind = (b"content-type", _SCRIPT.encode())
    return Answer(200, script % known, _SCRIPT_HEADERS, kind)


def _config_of(desk: Desk, request: Request) -> dict[str, Any]:  # Any: a JSON document
    key = request.params["write_key"]
    desk.keys_of(key)
    return {"token": key, **_CONFIG}


_CAPTURE: Final = taking(
    "GET",
    "/e",
    Intake(unpack, answers.tell, bodiless=True),
    Doc(
        "Capture events by a query",
        _WHERE,
        query=(("data", "An event or an array of events: JSON, plain or in base64."),),
        gives=dict[str, Any],
        errors=(400, 401, 403, 413, 429, 503),
        tag=_TAG,
    ),
    *("/capture", "/track", "/engage", "/i/v0/e"),
)

POSTHOG: Final = (
    posts(
        "/batch",
        unpack,
        posted("Capture several events", _WHERE, Takes(dict[str, Any]), tag=_TAG),
    ),
    posts(
        "/e",
        unpack,
        posted(
            "Capture events",
            f"An event, an array, or an object with `batch`. {_WHERE}",
            Takes(dict[str, Any]),
            Takes(Any, "text/plain"),
            Takes(Any, "application/x-www-form-urlencoded"),
            tag=_TAG,
        ),
        *("/capture", "/track", "/engage", "/i/v0/e"),
    ),
    _CAPTURE,
    taking(
        "POST",
        "/i/v1/analytics/events",
        Intake(unpack_v1, _results),
        Doc(
            "Capture several events, with a result for each",
            f"The write key is the bearer token. {_WHERE}",
            (Takes(dict[str, Any]),),
            gives=Results,
            errors=POSTED,
            tag=_TAG,
        ),
    ),
    Route(
        "POST",
        "/flags",
        events(Intake(unpack_question, _flags)),
        Doc(
            "There are no feature flags",
            _WHERE,
            (Takes(dict[str, Any]), Takes(Any, "text/plain")),
            gives=dict[str, Any],
            errors=POSTED,
            tag=_TAG,
        ),
        also=("/decide",),
    ),
    Route(
        "GET",
        "/array/{write_key}/config",
        _config,
        Doc(
            "What PostHog's browser SDK loads first",
            _WHERE,
            gives=dict[str, Any],
            errors=(401, 503),
            open=True,
            tag=_TAG,
        ),
    ),
    Route(
        "GET",
        "/array/{write_key}/config.js",
        _config_script,
        Doc(
            "The same as a script, which pages with PostHog's snippet load",
            _WHERE,
            gives=_SCRIPT,
            errors=(401, 503),
            open=True,
            tag=_TAG,
        ),
    ),
)
"""Its lines of the route table."""
