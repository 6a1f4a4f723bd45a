"""What ingest reads of an event: quickly of all of them, closely of an odd one.

The quick way leaves it to the decoder to check types, lengths and times; an event that does not
pass is examined field by field, which forgives what can be forgiven and names what cannot.
"""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from clm_common.contracts.touchpoint import TYPES, TouchpointType, customer_id
from clm_ingest.core import timing
from clm_ingest.core.surrogates import REPLACEMENT, paired

LONGEST: Final = 256
"""How many characters an id or an event's name may have; it has to fit into database indexes."""

_Text = Annotated[str, Meta(max_length=LONGEST)]
_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Time = datetime | int | float | None
_IDS: Final = ("messageId", "userId", "anonymousId", "previousId")


class Context(Struct, rename="camel", gc=False):
    """What is read of an event's context."""

    user_agent: Any = None  # Any: the sender's own JSON; only text matters


class Glimpse(Struct, rename="camel", gc=False):
    """The fields that admission decides upon; everything else is skipped while decoding."""

    type: TouchpointType | None = None
    message_id: _Text | None = None
    user_id: _Text | _Number | None = None
    anonymous_id: _Text | _Number | None = None
    event: _Text | None = None
    timestamp: _Time = None
    original_timestamp: _Time = None
    sent_at: _Time = None
    write_key: Any = None  # Any: the sender's own JSON; only whether it is there matters
    context: Context | None = None


class _Named(Struct, rename="camel"):
    message_id: str | int | float | None = None


class Fault(Struct, frozen=True):
    """Why an event is not admitted.

    Attributes:
        code: a stable slug.
        detail: a sentence that says what is wrong and what to do.
        message_id: the event's id, when it had a usable one.
    """

    code: str
    detail: str
    message_id: str | None = None


class Examined(Struct, frozen=True):
    """An odd event that can be admitted.

    Attributes:
        raw: its bytes; other ones than were sent if halves of surrogate pairs were replaced.
        glimpse: what it says.
        rewrite: its bytes do not say the same: its id is no text, or its type is the route's.
    """

    raw: bytes
    glimpse: Glimpse
    rewrite: bool


UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises over bytes that are not the JSON asked for."""

_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_as_anything: Final = msgspec.json.Decoder().decode
_as_id: Final = msgspec.json.Decoder(str | int | float | None).decode
_as_context: Final = msgspec.json.Decoder(Context | None).decode
_as_named: Final = msgspec.json.Decoder(_Named).decode
_as_text: Final = msgspec.json.Decoder(str | None).decode


class _Fault(Exception):
    """Carries a fault out of nested reads."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = f"touchpoint.{code}"
        self.detail = detail


def examine(raw: bytes, kind: TouchpointType | None) -> Examined | Fault:
    """Read one event field by field and say what is wrong with it, if it cannot be admitted.

    Half of a surrogate pair is no reason, except in an id: it makes one of what were two.

    Args:
        raw: its bytes.
        kind: its type as the route says; None where the event has to say it.
    """
    try:
        fields = _read(raw)
    except _Fault as fault:
        whole = paired(raw)
        if whole != raw and _has_whole_ids(whole):
            return examine(whole, kind)
        return Fault(fault.code, fault.detail)
    message_id = None
    try:
        message_id = _id_in(fields, "messageId")
        glimpse = Glimpse(
            type=kind or _type_in(fields),
            message_id=message_id,
            user_id=_id_in(fields, "userId"),
            anonymous_id=_id_in(fields, "anonymousId"),
            event=_event_in(fields),
            timestamp=_time_in(fields, "timestamp"),
            original_timestamp=_time_in(fields, "originalTimestamp"),
            sent_at=_time_in(fields, "sentAt"),
            write_key=_given(fields, "writeKey"),
            context=_context_in(fields),
        )
    except _Fault as fault:
        return Fault(fault.code, fault.detail, message_id)
    has_text_id = bytes(fields.get("messageId", b"null"))[:1] == b'"'
    has_its_type = kind is None or _whatever(fields.get("type")) == kind
    return Examined(raw, glimpse, rewrite=not (has_text_id and has_its_type))


def _has_whole_ids(raw: bytes) -> bool:
    """Tell whether nothing was replaced in the ids of an event, as far as it can be read."""
    try:
        fields = _read(raw)
    except _Fault:
        return True
    ids = [_whatever(fields.get(name)) for name in _IDS]
    return not any(isinstance(each, str) and REPLACEMENT in each for each in ids)


def message_id_in(raw: bytes) -> str | None:
    """Find the id of an event of which nothing else is read; None if it has no usable one."""
    try:
        text = customer_id(_as_named(raw).message_id)
        _check(text, "messageId", "id_invalid")
    except (*UNREADABLE, _Fault):
        return None
    return text


def _read(raw: bytes) -> dict[str, Raw]:
    try:
        raw.decode()
        return _as_fields(raw)
    except msgspec.ValidationError:
        raise _Fault("not_an_object", "an event must be a JSON object") from None
    except RecursionError:
        raise _Fault("malformed", "the event is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _Fault("malformed", f"the event is not JSON: {error}") from None


def _id_in(fields: dict[str, Raw], name: str) -> str | None:
    try:
        text = customer_id(_as_id(fields.get(name, b"null")))
    except UNREADABLE:
        raise _Fault("id_invalid", f"{name} must be text or a number") from None
    _check(text, name, "id_invalid")
    return text


def _event_in(fields: dict[str, Raw]) -> str | None:
    try:
        text: str | None = _as_text(fields.get("event", b"null"))
    except UNREADABLE:
        raise _Fault("event_invalid", "event must be text") from None
    _check(text, "event", "event_invalid")
    return text


def _check(text: str | None, name: str, code: str) -> None:
    if text and len(text) > LONGEST:
        raise _Fault(code, f"{name} may have {LONGEST} characters, this one has {len(text):,}")
    if text and "\x00" in text:
        raise _Fault(code, f"{name} must not hold a NUL character")


def _type_in(fields: dict[str, Raw]) -> TouchpointType:
    value = _whatever(fields.get("type"))
    for kind in TYPES:
        if kind == value:
            return kind
    raise _Fault("type_unknown", f"type must be one of {', '.join(TYPES)}")


def _time_in(fields: dict[str, Raw], name: str) -> datetime | None:
    return timing.read(_whatever(fields.get(name)))


def _context_in(fields: dict[str, Raw]) -> Context | None:
    try:
        found: Context | None = _as_context(fields.get("context", b"null"))
    except UNREADABLE:
        return None
    return found


def _given(fields: dict[str, Raw], name: str) -> Raw | None:
    """Give a field unless it is absent or null."""
    raw = fields.get(name)
    return None if raw is None or bytes(raw) == b"null" else raw


def _whatever(raw: Raw | None) -> object:
    """Read a value that may be anything; what cannot be read counts as absent."""
    try:
        return None if raw is None else _as_anything(raw)
    except UNREADABLE:
        return None
