"""CloudEvents 1.0 over HTTP: the three modes of the binding, and the touchpoint an event becomes.

The mode is chosen by the Content-Type alone: `application/cloudevents-batch…` is batched,
`application/cloudevents…` structured, anything else binary. Written by hand, because the kept SDK
has no batched mode, picks the mode by other headers, and takes broken UTF-8; tests hold this module
against it where it is right.

Source: CloudEvents 1.0.2, its JSON event format and its HTTP protocol binding.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec

from clm_common.errors import Rejected
from clm_ingest.core.cloudevents_touchpoint import touchpoint_of
from clm_ingest.core.glimpse import UNREADABLE
from clm_ingest.core.parcel import Limits, unmarked
from clm_ingest.core.request import Request
from clm_ingest.core.translation import (
    Fields,
    Item,
    Translated,
    Untranslatable,
    items_of,
    object_of,
    translate,
)

BATCHED: Final = "application/cloudevents-batch"
STRUCTURED: Final = "application/cloudevents"

_REQUIRED: Final = ("id", "source", "specversion", "type")
_OPTIONAL: Final = ("datacontenttype", "dataschema", "subject", "time")
_DATA: Final = ("data", "data_base64")
_NAME: Final = re.compile(r"[a-z0-9]+", re.ASCII)
_JSON_MEDIA: Final = re.compile(r"[^/]+/(json|[^/]+\+json)", re.ASCII)
_RFC3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_PREFIX: Final = b"ce-"
_ESCAPE: Final = re.compile(rb"\\(.)", re.DOTALL)
_QUOTED: Final = 2

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def unpack(body: bytes, request: Request, limits: Limits) -> Translated:
    """Open a request that carries CloudEvents, in whatever mode.

    Raises:
        Rejected: 400 if it is in no mode of the binding, 413 if a batch is too long, 415 for an
            event format other than JSON.
    """
    media = _media(request.header(b"content-type").decode("latin-1"))
    if media.startswith(BATCHED):
        _check_format(media, BATCHED)
        return translate(items_of(body, limits), _from_structure)
    if media.startswith(STRUCTURED):
        _check_format(media, STRUCTURED)
        return translate([Item(0, body)], _from_structure, single=True)
    return translate([Item(0, _structure(body, request.headers))], _from_structure, single=True)


def _media(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _check_format(media: str, mode: str) -> None:
    if media not in {mode, f"{mode}+json"}:
        raise Rejected(415, "cloudevent.format", f"events are taken as {mode}+json, not {media}")


def _structure(body: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    """Write an event sent in binary mode as one in structured mode.

    Raises:
        Rejected: 400 if the required attributes are not there, or a header is no text.
    """
    event: Fields = {
        name[len(_PREFIX) :].decode("latin-1"): _header_text(name, value)
        for name, value in headers.items()
        if name.startswith(_PREFIX)
    }
    if missing := [f"ce-{name}" for name in _REQUIRED if not event.get(name)]:
        detail = f"the Content-Type says binary mode, and {', '.join(missing)} is missing"
        raise Rejected(400, "cloudevent.incomplete", detail)
    media = headers.get(b"content-type", b"").decode("latin-1").strip()
    if media and event.get("datacontenttype") == media:
        del event["datacontenttype"]  # Python's SDK before 1.3 says it twice
    if foreign := {"datacontenttype", *_DATA} & event.keys():
        detail = f"ce-{min(foreign)} must not be sent: Content-Type and the body say it"
        raise Rejected(400, "cloudevent.invalid", detail)
    if media:
        event["datacontenttype"] = media
    if body:
        event["data_base64"] = base64.b64encode(body).decode()
    return _encode(event)


def _header_text(name: bytes, value: bytes) -> str:
    """Undo the quotes, then the percent-encoding once, of an attribute's header."""
    value = value.strip()
    if len(value) >= _QUOTED and value[:1] == value[-1:] == b'"':
        value = _ESCAPE.sub(rb"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        detail = f"{name.decode('latin-1')} is not UTF-8 after percent-decoding"
        raise Rejected(400, "cloudevent.encoding", detail) from None


def _from_structure(raw: bytes) -> Fields:
    """Check one event and give the touchpoint it becomes.

    Raises:
        Untranslatable: it is no CloudEvent, or no touchpoint can be made of it.
    """
    sent = object_of(raw)
    event = {name: value for name, value in sent.items() if value is not None or name == "data"}
    _check(event)
    attributes = {name: value for name, value in event.items() if name not in _DATA}
    return touchpoint_of(attributes, _data_of(event))


def _check(event: Fields) -> None:
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            code = "cloudevent.invalid" if name in event else "cloudevent.incomplete"
            raise Untranslatable(code, f"{name} must be a text that is not empty")
    if event["specversion"] != "1.0":
        detail = f"specversion must be 1.0, this is {event['specversion'][:16]!r}"
        raise Untranslatable("cloudevent.specversion", detail)
    for name in _OPTIONAL:
        if name in event and (not isinstance(event[name], str) or not event[name]):
            raise Untranslatable("cloudevent.invalid", f"{name} must be a text that is not empty")
    if "time" in event and not _RFC3339.fullmatch(event["time"]):
        raise Untranslatable("cloudevent.invalid", "time must be RFC 3339")
    for name in event.keys() - {*_REQUIRED, *_OPTIONAL, *_DATA}:
        if not _NAME.fullmatch(name):
            detail = f"attribute {name[:64]!r} must have lower-case letters and digits only"
            raise Untranslatable("cloudevent.invalid", detail)
        if not isinstance(event[name], str | bool | int):
            detail = f"attribute {name[:64]!r} must be text, a whole number or a truth value"
            raise Untranslatable("cloudevent.invalid", detail)


def _data_of(event: Fields) -> Any:  # Any: the sender's own JSON
    """Give an event's data as JSON: text as text, other bytes in base64; None if it has none."""
    if "data_base64" not in event:
        return event.get("data")
    if "data" in event:
        raise Untranslatable("cloudevent.invalid", "there may be data or data_base64, not both")
    try:
        data = base64.b64decode(event["data_base64"], validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise Untranslatable("cloudevent.invalid", "data_base64 is not base64") from None
    media = _media(event.get("datacontenttype", "application/json"))
    if _JSON_MEDIA.fullmatch(media):
        return _json(data)
    if media.startswith("text/"):
        return data.decode("utf-8", "replace")
    return event["data_base64"]


def _json(data: bytes) -> Any:  # Any: the sender's own JSON
    try:
        return _decode(unmarked(data))
    except UNREADABLE as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise Untranslatable("touchpoint.malformed", f"data is not JSON: {why}") from None
