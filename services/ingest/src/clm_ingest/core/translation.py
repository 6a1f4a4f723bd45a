"""Requests of another form than Segment's: their events become touchpoints before admission.

What can be translated is judged, and if need be quarantined, as the touchpoint it became; what
cannot is quarantined as it was sent.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clm_common.errors import Rejected
from clm_ingest.core.admission import Refusal, Verdicts
from clm_ingest.core.glimpse import UNREADABLE, Fault
from clm_ingest.core.parcel import Limits, Parcel, unmarked
from clm_ingest.core.splitting import split

Fields = dict[str, Any]  # Any: JSON

UNWRITABLE: Final = (TypeError, ValueError, OverflowError, RecursionError)
"""What msgspec raises over values that it has read, but JSON has no place for."""

_decode: Final = msgspec.json.Decoder().decode
_as_list: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_SHELL: Final = (b'{"batch":', b"}")


class Untranslatable(Exception):
    """An event that cannot become a touchpoint."""

    def __init__(self, code: str, detail: str, message_id: str | None = None) -> None:
        super().__init__(detail)
        self.fault = Fault(code, detail, message_id)


class Translated(Parcel, frozen=True, kw_only=True):
    """A parcel whose events were sent in another form.

    Attributes:
        places: the place in the request of each event.
        hopeless: the events that could not be translated.
        single: the request holds one event, and is answered like a single call.
    """

    places: Sequence[int]
    hopeless: Sequence[Refusal]
    single: bool = False


class Item(Struct, frozen=True):
    """One event as it was sent.

    Attributes:
        index: its place in the request.
        raw: its bytes.
    """

    index: int
    raw: bytes


def translate(
    items: Iterable[Item],
    to_touchpoint: Callable[[bytes], Fields],
    *,
    single: bool = False,
    write_key: str | None = None,
    sent_at: object = None,
    historical: bool = False,
) -> Translated:
    """Translate events one by one; a bad one does not touch the others.

    Args:
        items: the events.
        to_touchpoint: gives the touchpoint that an event's bytes become; raises `Untranslatable`.
        single: the request holds one event by its nature.
        write_key: the key the body carries.
        sent_at: when the request was sent, by the sender's clock.
        historical: all of it is imported from the past.
    """
    events: list[bytes] = []
    places: list[int] = []
    hopeless: list[Refusal] = []
    for item in items:
        try:
            events.append(_encode(to_touchpoint(item.raw)))
            places.append(item.index)
        except Untranslatable as error:
            hopeless.append(Refusal(error.fault, item.index, item.raw))
        except UNWRITABLE as error:
            fault = Fault("touchpoint.malformed", f"the event cannot be written as JSON: {error}")
            hopeless.append(Refusal(fault, item.index, item.raw))
    return Translated(
        kind=None,
        events=events,
        glimpses=None,
        write_key=write_key,
        sent_at=sent_at,
        historical=historical,
        places=places,
        hopeless=hopeless,
        single=single,
    )


def object_of(raw: bytes) -> Fields:
    """Read one event.

    Raises:
        Untranslatable: it is not a JSON object.
    """
    try:
        value = _decode(unmarked(raw))
    except UNREADABLE as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise Untranslatable("touchpoint.malformed", f"the event is not JSON: {why}") from None
    if not isinstance(value, dict):
        raise Untranslatable("touchpoint.not_an_object", "an event must be a JSON object")
    return value


def items_of(body: bytes, limits: Limits) -> list[Item]:
    """Take a JSON array of events apart; one that does not parse as a whole, by its brackets.

    Raises:
        Rejected: 400 if it is no array, 413 if it has too many events.
    """
    body = unmarked(body)
    try:
        raws = [bytes(raw) for raw in _as_list(body)]
    except msgspec.ValidationError as error:
        detail = f"the body is JSON, but no array of events: {error}"
        raise Rejected(400, "body.invalid", detail) from None
    except UNREADABLE as error:
        raws = _taken_apart(body, error)
    if len(raws) > limits.events:
        detail = f"a batch may hold {limits.events} events, this one has {len(raws)}"
        raise Rejected(413, "batch.too_long", detail)
    return [Item(index, raw) for index, raw in enumerate(raws)]


def _taken_apart(body: bytes, cause: Exception) -> list[bytes]:
    parts = split(body.join(_SHELL)) if body.lstrip()[:1] == b"[" else None
    try:
        if parts is not None and _decode(parts.shell) == {"batch": []}:
            return parts.events
    except UNREADABLE:
        pass  # what is around the events is no JSON either
    why = "it is nested too deeply" if isinstance(cause, RecursionError) else cause
    raise Rejected(400, "body.malformed", f"the body is not JSON: {why}") from None


def settle(parcel: Parcel, verdicts: Verdicts, limits: Limits) -> Verdicts:
    """Say verdicts in terms of the request as it was sent, with what could not be translated."""
    if not isinstance(parcel, Translated):
        return verdicts
    refused = [
        Refusal(each.fault, parcel.places[each.index], each.original) for each in verdicts.refused
    ]
    refused += [
        msgspec.structs.replace(each, original=each.original[: limits.event_bytes])
        for each in parcel.hopeless
    ]
    return Verdicts(verdicts.admitted, sorted(refused, key=lambda each: each.index), verdicts.ids)
