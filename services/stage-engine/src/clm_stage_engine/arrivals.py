"""Records of `clm.touchpoints` as the engine takes them in: attributes, ids, what the fold sees."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from clm_common.bus.ports import Record
from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.contracts.touchpoint import (
    MARKS_HEADER,
    Glance,
    customer_id,
    glance,
    marks_of,
    source_of,
)
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339, to_rfc3339
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.identity import Key
from clm_stage_engine.core.ours import type_of
from clm_stage_engine.core.signals import Told


class Arrival(Touch, frozen=True, gc=False):
    """One touchpoint that arrived: what the fold sees, and what else is kept of it.

    Its `message_id` is `source/sent_id`: what the sender's id is unique with.

    Attributes:
        workspace: the workspace's key.
        source: the source that sent it.
        sent_id: the sender's id.
        user: its user id as an identifier, if it has one.
        anonymous: its anonymous id as an identifier, if it has one.
        stamp: `time` as RFC 3339, in the form that `to_rfc3339` gives.
        received: when ingest received it, µs.
        untimed: it carried no time of its own, so a repeat may carry another.
        marks: what ingest marked it as.
        told: the parts of its body that tell its channel; None where they are of unusual types.
    """

    workspace: str
    source: str
    sent_id: str
    user: Key | None
    anonymous: Key | None
    stamp: str
    received: int
    untimed: bool
    marks: tuple[str, ...] = ()
    told: Told | None = None


class _Seen(Told, frozen=True, gc=False, kw_only=True, rename="camel"):
    """`Glance` and `Told` at once: a body is read through only once."""

    type: str = ""
    message_id: str
    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None


_seen: Final = msgspec.json.Decoder(_Seen).decode

_CANONICAL: Final = b"0000-00-00T00:00:00.000000Z"
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - twice as fast as with a zone; all is UTC
_MICROSECOND: Final = timedelta(microseconds=1)
_NUL: Final = "\0"
_ESCAPED_NUL: Final = b"\\u0000"  # JSON allows no other


@lru_cache(maxsize=4096)
def _source(uri: bytes) -> tuple[str, str]:
    workspace, source = source_of(uri.decode())
    _refuse_nul(workspace, source)
    return workspace, source


@lru_cache(maxsize=1024)
def _received(stamp: bytes) -> int:
    """Read when a request was received: all events of one batch have the same."""
    return _instant(stamp)[0]


@lru_cache(maxsize=4096)
def _second(stamp: bytes) -> int:
    """Read an instant of whole seconds in µs: what arrives together happened close together."""
    return (datetime.fromisoformat(stamp.decode()) - _EPOCH) // _MICROSECOND


def _instant(stamp: bytes) -> tuple[int, str]:
    """Read an instant; give it in µs and in the form that `to_rfc3339` writes."""
    text = stamp.decode()
    if stamp.translate(_ZEROS) == _CANONICAL:
        return _second(stamp[:19]) + int(stamp[20:26]), text
    micros = from_rfc3339(text)
    return micros, to_rfc3339(micros)


def arrive(record: Record) -> Arrival:
    """Read one record.

    Raises:
        InvalidMessage: it is no touchpoint; the reason says why.
    """
    body = record.value
    if body is None:
        raise InvalidMessage("touchpoint.empty", "the record has no value")
    headers = dict(record.headers)
    try:
        seen = _see(body)
        workspace, source = _source(headers["ce_source"])
        happened, came = headers["ce_time"], headers["ce_receivedtime"]
        time, stamp = _instant(happened)
        received = time if came == happened else _received(came)
    except KeyError as error:
        raise InvalidMessage("touchpoint.header_missing", f"header {error} is missing") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidMessage("touchpoint.invalid", f"not a touchpoint: {error}") from error
    user_id, anonymous_id = customer_id(seen.user_id), customer_id(seen.anonymous_id)
    if user_id is None and anonymous_id is None:
        raise InvalidMessage("touchpoint.identity_missing", "neither userId nor anonymousId")
    sent_id, event = seen.message_id, seen.event
    if _ESCAPED_NUL in body:
        _refuse_nul(sent_id, user_id or "", anonymous_id or "")
    return Arrival(
        time,
        f"{source}/{sent_id}",
        type_of(source, seen.type, event),
        event,
        body,
        workspace,
        source,
        sent_id,
        None if user_id is None else (workspace, USER_ID, user_id),
        None if anonymous_id is None else (workspace, ANONYMOUS_ID, anonymous_id),
        stamp,
        received,
        "ce_untimed" in headers,
        marks_of(headers[MARKS_HEADER]) if MARKS_HEADER in headers else (),
        seen if isinstance(seen, Told) else None,
    )


def _see(body: bytes) -> _Seen | Glance:
    try:
        seen = _seen(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return glance(body)  # what tells the channel may be of any type, or the error is its own
    return seen if seen.type else glance(body)  # which refuses what has no type


def _refuse_nul(*ids: str) -> None:
    """See that ids can be written: PostgreSQL keeps no NUL character in a text."""
    if any(_NUL in it for it in ids):
        raise InvalidMessage("touchpoint.id_invalid", "an id has a NUL character")
