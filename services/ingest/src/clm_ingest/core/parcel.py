"""A request's body, opened: the bytes of each event, and what the body says about all of them."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from clm_common.contracts.touchpoint import TouchpointType
from clm_common.errors import Rejected
from clm_ingest.core.glimpse import UNREADABLE, Glimpse
from clm_ingest.core.segment_spec import sends_live
from clm_ingest.core.splitting import split
from clm_ingest.core.surrogates import paired

_NUL: Final = b"\\u0000"


class Limits(Struct, frozen=True):
    """What one request may hold.

    Attributes:
        event_bytes: the largest event; a larger one is refused alone.
        events: how many events a batch may have.
    """

    event_bytes: int = 512 * 1024
    events: int = 2_500


class Parcel(Struct, frozen=True):
    """A request's body, opened but not judged.

    Attributes:
        kind: the type of a single call; None for a batch.
        events: the bytes of each event.
        glimpses: what is read of each event; None where they must be examined one by one.
        write_key: the key the body carries, if it carries one.
        sent_at: the batch's own `sentAt`, whatever it is.
        historical: all of it is imported from the past.
    """

    kind: TouchpointType | None
    events: Sequence[Raw | bytes]
    glimpses: Sequence[Glimpse] | None
    write_key: str | None = None
    sent_at: object = None
    historical: bool = False


class _Batch(Struct, rename="camel"):
    batch: list[Raw]
    write_key: Any = None  # Any: the sender's own JSON, of whatever type
    sent_at: Any = None  # Any: as write_key
    historical: Any = None  # Any: as write_key; true says that it is imported from the past
    context: Any = None  # Any: as write_key; it may name the library that sent it


class _Glimpses(Struct):
    batch: list[Glimpse]


_as_batch: Final = msgspec.json.Decoder(_Batch).decode
_as_glimpses: Final = msgspec.json.Decoder(_Glimpses).decode
_as_single: Final = msgspec.json.Decoder(Glimpse).decode
_as_object: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_as_fields: Final = msgspec.json.Decoder(dict[str, Any]).decode  # Any: as _Batch.write_key


def unmarked(body: bytes) -> bytes:
    """Give JSON without the byte order mark that some programs write before it (RFC 8259, 8.1)."""
    return body.removeprefix(BOM_UTF8)


def unpack_single(body: bytes, kind: TouchpointType) -> Parcel:
    """Open the body of a single call.

    Args:
        body: the inflated body.
        kind: the touchpoint's type, which the route says.

    Raises:
        Rejected: 400 if it is not a JSON object. Half a surrogate pair makes it a bad event only.
    """
    body = unmarked(body)
    try:
        seen = _as_single(body)
        if not _is_suspect(body):
            return Parcel(kind, [body], [seen], _text(seen.write_key))
    except UNREADABLE:
        pass  # a field is of a wrong type, or no Unicode: examined later, if it is JSON
    return Parcel(kind, [body], None, _write_key_in(body))


def unpack_batch(body: bytes, limits: Limits, *, historical: bool = False) -> Parcel:
    """Open the body of a batch; one that does not parse as a whole is taken apart.

    Args:
        body: the inflated body.
        limits: what is allowed.
        historical: the route says that it is imported from the past, which holds unless a library
            sent it that sends there what happens now. The body may say so, too.

    Raises:
        Rejected: 400 if it is not a JSON object with a list `batch`; 413 if that is too long.
    """
    events: Sequence[Raw | bytes]
    body = unmarked(body)
    try:
        opened = _as_batch(body)
        events, glimpses = opened.batch, _glimpses_of(body)
    except msgspec.ValidationError as error:
        raise _wrong_form(error) from None
    except UNREADABLE as error:
        opened, events = _take_apart(body, error)
        glimpses = None
    if len(events) > limits.events:
        detail = f"a batch may hold {limits.events} events, this one has {len(events)}"
        raise Rejected(413, "batch.too_long", detail)
    historical = opened.historical is True or (historical and not _is_live(opened, events))
    return Parcel(
        None, events, glimpses, _text(opened.write_key), opened.sent_at, historical=historical
    )


def _is_live(opened: _Batch, events: Sequence[Raw | bytes]) -> bool:
    """Tell by the library that the batch names, or its first event."""
    if sends_live(opened.context):
        return True
    try:
        return any(sends_live(_as_fields(it).get("context")) for it in events[:1])
    except UNREADABLE:
        return False


def _glimpses_of(body: bytes) -> Sequence[Glimpse] | None:
    """Read all events in one go, which is cheapest; None if one of them needs a closer look."""
    if _is_suspect(body):
        return None
    try:
        return _as_glimpses(body).batch
    except UNREADABLE:
        return None


def _take_apart(body: bytes, cause: Exception) -> tuple[_Batch, list[bytes]]:
    parts = split(body)
    if parts is None:
        raise _malformed(cause) from None
    try:
        return _as_batch(parts.shell), parts.events
    except msgspec.ValidationError as error:
        raise _wrong_form(error) from None
    except UNREADABLE:
        raise _malformed(cause) from None


def _is_suspect(body: bytes) -> bool:
    """Tell whether there may be what the parser passes over: a NUL, bytes that are not UTF-8."""
    if b"\\" in body and _NUL in body:
        return True
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


def _write_key_in(body: bytes) -> str | None:
    """Find the key in a single call whose other fields are odd.

    Raises:
        Rejected: 400 if the body is not a JSON object.
    """
    try:
        value = _as_object(paired(body)).get("writeKey")
        return None if value is None else _text(msgspec.json.decode(value))
    except msgspec.ValidationError as error:
        raise _wrong_form(error) from None
    except UNREADABLE as error:
        raise _malformed(error) from None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _wrong_form(error: Exception) -> Rejected:
    return Rejected(400, "body.invalid", f"the body is JSON, but not of the right form: {error}")


def _malformed(error: Exception) -> Rejected:
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return Rejected(400, "body.malformed", f"the body is not JSON: {why}")
