"""Webhooks in: `POST /v1/hooks/{hook}`, where a mapping, one YAML file, reads the bodies."""

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from starlette.types import Receive

from clm_common import catalog, telemetry
from clm_ingest import answers
from clm_ingest.answers import Answer
from clm_ingest.core import hooks
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.hooks import Hook
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.request import Request
from clm_ingest.lines import POSTED, posted
from clm_ingest.receiver import Received
from clm_ingest.table import Desk, Intake, Route, Takes

FOLDER: Final = Path(__file__).with_name("hooks")

_FORM: Final = "application/x-www-form-urlencoded"
_IGNORED: Final = telemetry.INGEST_EVENTS.labels("ignored")
_NOTHING: Final = Answer(200, msgspec.json.encode({"success": True, "ignored": True}))


@cache
def shipped() -> Mapping[str, Hook]:
    """Give the mappings that ship, by key.

    Raises:
        DefinitionError: one of them cannot be right; with file and line.
    """
    return MappingProxyType(_load(FOLDER))


def mappings(folder: Path | None) -> Mapping[str, Hook]:
    """Give the mappings that ship and those of a folder, which come first.

    Raises:
        DefinitionError: one of them cannot be right, or there is no such folder.
    """
    return shipped() if folder is None else {**shipped(), **_load(folder)}


def _load(folder: Path) -> dict[str, Hook]:
    return {key: entry.definition for key, entry in catalog.load(folder, Hook).items()}


async def _receive(desk: Desk, request: Request, receive: Receive) -> Answer:
    received = desk.hook_of(request.params["hook"])
    signed = None if received.hook is None else received
    intake = Intake(partial(_unpack, received), _tell, received=signed)
    return await desk.take(request, receive, intake)


def _unpack(received: Received, body: bytes, request: Request, limits: Limits) -> Parcel:
    headers = hooks.headers_of(request)
    return hooks.unpack(received.mapping, received.identity, headers, body, limits)


def _tell(parcel: Parcel, verdicts: Verdicts) -> Answer:
    """Answer; what the mapping has no touchpoint for is fine, so that it is not sent again."""
    if verdicts.admitted or verdicts.refused:
        return answers.tell(parcel, verdicts)
    _IGNORED.inc()
    return _NOTHING


_DOC: Final = posted(
    "Take in another system's webhook",
    "A mapping turns the body, JSON or a form, into touchpoints. A hook of the workspace is "
    "authenticated by the sender's signature (Standard Webhooks, Stripe, Shopify, GitHub), or by "
    "the write key of its source; a mapping by its own name, by a write key. The key stands in "
    "`?writeKey=` where the sender can set nothing but an address. A redelivery counts once. What "
    "the mapping has no touchpoint for is answered 200 with `ignored`; what it cannot read goes to "
    "the quarantine as sent and is answered 200, too: it would be no better if sent again.",
    Takes(dict[str, Any]),
    Takes(dict[str, str], _FORM),
    tag="hooks",
)

HOOKS: Final = (
    Route(
        "POST",
        "/v1/hooks/{hook}",
        _receive,
        msgspec.structs.replace(_DOC, errors=tuple(sorted({*POSTED, 404}))),
    ),
)
