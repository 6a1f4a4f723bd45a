"""PostHog's capture requests: where the events stand in the many bodies its SDKs send.

The body is an event, an array of events, or an object with `batch`; as JSON, in base64, or as a
form's `data`, and each gzipped or not. The token is `api_key`, `token`, or inside of an event.
Source: what posthog-python, posthog-node and posthog-js send.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from clm_common.errors import Rejected
from clm_ingest.core.glimpse import UNREADABLE
from clm_ingest.core.parcel import Limits, Parcel, unmarked
from clm_ingest.core.posthog_touchpoint import Sender, touchpoint_of
from clm_ingest.core.request import Request
from clm_ingest.core.splitting import split
from clm_ingest.core.surrogates import paired
from clm_ingest.core.translation import (
    Fields,
    Item,
    Translated,
    Untranslatable,
    items_of,
    object_of,
    translate,
)

_TOKENS: Final = ("api_key", "token", "$token")
_HISTORICAL: Final = "historical_migration"
_FORM: Final = b"application/x-www-form-urlencoded"
_FORM_BODY: Final = re.compile(rb"(?:[A-Za-z_]+=[^&{\[]*&)*data=", re.ASCII)
_MILLISECONDS: Final = re.compile(rb"(?:^|&)_=(\d{13})(?:&|$)", re.ASCII)
_MOST_FIELDS: Final = 20

_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_as_anything: Final = msgspec.json.Decoder().decode


def unpack(body: bytes, request: Request, limits: Limits) -> Translated:
    """Open a request of the first protocol, whatever endpoint it was sent to.

    Raises:
        Rejected: 400 if no events can be found in it, 413 if they are too many.
    """
    text = _json_in(body, request)
    envelope, items = _opened(text, limits)
    sent_at = envelope.get("sent_at") or _clock_of(request.query)
    return translate(
        items,
        partial(touchpoint_of, sender=Sender(sent_at=sent_at)),
        single="batch" not in envelope and text.lstrip()[:1] != b"[",
        write_key=_token_of(envelope, items),
        sent_at=sent_at,
        historical=_is_historical(envelope),
    )


def unpack_v1(body: bytes, request: Request, limits: Limits) -> Translated:
    """Open a request of the second protocol: an object with `batch`, the token in a header.

    Raises:
        Rejected: as `unpack`.
    """
    envelope, items = _opened(unmarked(body), limits)
    if "batch" not in envelope:
        raise Rejected(400, "body.invalid", "the body must be an object with a list batch")
    name, _, version = request.header(b"posthog-sdk-info").decode("latin-1").partition("/")
    sent_at = request.header(b"posthog-request-timestamp").decode("latin-1")
    sender = Sender(sent_at or envelope.get("created_at"), name or None, version or None)
    return translate(
        items,
        partial(touchpoint_of, sender=sender),
        sent_at=sender.sent_at,
        historical=_is_historical(envelope),
    )


def unpack_question(body: bytes, request: Request, _limits: Limits) -> Parcel:
    """Open a request that asks for flags: it has a token and no events."""
    envelope = _fields_of(_json_in(body, request))
    return Parcel(None, [], [], write_key=_token_of(envelope, ()))


def _json_in(body: bytes, request: Request) -> bytes:
    """Find the JSON in a query, a form or base64."""
    if request.method == "GET":
        return _in_form(request.query)
    body = unmarked(body)
    is_form = request.header(b"content-type").startswith(_FORM)
    if body[:1] not in {b"{", b"["} and (is_form or _FORM_BODY.match(body)):
        return _in_form(body)
    return _unpacked(body) if b"compression=base64" in request.query else body


def _in_form(form: bytes) -> bytes:
    try:
        found = parse_qs(form.decode("latin-1"), max_num_fields=_MOST_FIELDS).get("data")
    except ValueError:
        found = None
    if not found:
        raise Rejected(400, "body.invalid", "the form has no data")
    return _unpacked(found[0].encode("utf-8", "replace"))


def _unpacked(data: bytes) -> bytes:
    data = data.strip()
    if data[:1] in {b"{", b"["}:
        return data
    packed = data.replace(b" ", b"+")
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(400, "body.malformed", "data is neither JSON nor base64") from None


def _opened(text: bytes, limits: Limits) -> tuple[Fields, Sequence[Item]]:
    """Give what stands beside the events, and the events."""
    if text.lstrip()[:1] == b"[":
        return {}, items_of(text, limits)
    try:
        envelope = _as_fields(text)
    except UNREADABLE:
        return _taken_apart(text, limits)
    if "batch" not in envelope:
        return _values(envelope), [Item(0, text)]
    batch = bytes(envelope.pop("batch"))
    return {**_values(envelope), "batch": True}, items_of(batch, limits)


def _taken_apart(text: bytes, limits: Limits) -> tuple[Fields, Sequence[Item]]:
    """Save the good events of a batch in which one is no JSON."""
    parts = split(text)
    if parts is None:
        return {**_fields_of(paired(text))}, [Item(0, text)]
    if len(parts.events) > limits.events:
        detail = f"a batch may hold {limits.events} events, this one has {len(parts.events)}"
        raise Rejected(413, "batch.too_long", detail)
    items = [Item(index, raw) for index, raw in enumerate(parts.events)]
    return {**_fields_of(parts.shell), "batch": True}, items


def _fields_of(text: bytes) -> Fields:
    try:
        return _values(_as_fields(text))
    except msgspec.ValidationError as error:
        raise Rejected(400, "body.invalid", f"the body is JSON, but no object: {error}") from None
    except UNREADABLE as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise Rejected(400, "body.malformed", f"the body is not JSON: {why}") from None


def _values(envelope: Mapping[str, Raw]) -> Fields:
    """Read the few fields that are about all events."""
    found: Fields = {}
    for name in (*_TOKENS, "sent_at", "created_at", _HISTORICAL):
        if name in envelope:
            try:
                found[name] = _as_anything(envelope[name])
            except UNREADABLE:
                continue
    return found


def _token_of(envelope: Fields, items: Sequence[Item]) -> str | None:
    """Find the token beside the events, else in the first of them that can be read."""
    if token := _first_text(envelope):
        return token
    for item in items:
        try:
            event = object_of(paired(item.raw))
        except Untranslatable:
            continue
        properties = event.get("properties")
        inside = _first_text(properties) if isinstance(properties, dict) else None
        return _first_text(event) or inside
    return None


def _first_text(fields: Fields) -> str | None:
    found = (fields.get(name) for name in _TOKENS)
    return next((token for token in found if isinstance(token, str) and token), None)


def _is_historical(envelope: Fields) -> bool:
    """Tell whether the request says that all of it is imported from the past."""
    return envelope.get(_HISTORICAL) is True


def _clock_of(query: bytes) -> int | None:
    """Read when a browser sent the request, which it says in the query."""
    found = _MILLISECONDS.search(query)
    return int(found[1]) if found else None
