"""Admission: the events of a request become touchpoints to publish, and refusals to quarantine.

Every event gets its own verdict; a bad one never fails its batch. An event is kept as the bytes it
was sent in. It is written anew only where something must be added (a `messageId`, the type of a
single call) or taken away (the write key, which is a secret), and then every other value keeps its
bytes.

Its time is the first usable one of `timestamp`, `originalTimestamp`, its own and the batch's
`sentAt`; see `timing`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Final

import msgspec
from msgspec import Raw, Struct

from clm_common.bus.columns import Columns
from clm_common.bus.ports import Message
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.contracts.touchpoint import (
    BOT,
    HISTORICAL,
    INTERNAL,
    TYPES,
    TouchpointType,
    customer_id,
)
from clm_ingest.core.crawlers import is_bot
from clm_ingest.core.glimpse import Fault, Glimpse, examine, message_id_in
from clm_ingest.core.heads import OWN, in_common
from clm_ingest.core.insiders import Insiders
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.regular import regular
from clm_ingest.core.timing import latest_of, normalise, read, text_of

_TOPIC: Final = TOUCHPOINTS.name
_MANY: Final = 4
"""Events from which on it is cheaper to judge them by column."""

_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Origin(Struct, frozen=True):
    """Where a request came from, and when.

    Attributes:
        workspace: the workspace's key.
        source: the source's id.
        received: µs.
        browser: the user agent of the browser that sent it, if it was one.
        internal: it came from the company's own network.
        insiders: the company's own people, whose events are marked likewise.
    """

    workspace: str
    source: str
    received: int
    browser: str | None = None
    internal: bool = False
    insiders: Insiders | None = None


class Subject(Struct, frozen=True):
    """Which event is inspected.

    Attributes:
        kind: the touchpoint's type.
        event: the name of a track call.
        message_id: its id.
    """

    kind: TouchpointType
    event: str | None
    message_id: str


Inspect = Callable[[bytes, Subject], bytes | Fault]
"""Gives an event as it is to be published, or says why it is not."""


class Refusal(Struct, frozen=True):
    """An event that is not admitted, and why.

    Attributes:
        fault: what is wrong with it.
        index: its place in the request.
        original: its bytes; of one that is too large only the first `Limits.event_bytes`.
        hook: the webhook that it was sent to, if its mapping could not read it.
        headers: those of the request that the mapping, or what is to open the request, reads.
        request: what could not be opened, such as `POST /v1/batch`.
        truncated: only the beginning of what could not be opened is kept.
    """

    fault: Fault
    index: int
    original: bytes
    hook: str | None = None
    headers: Mapping[str, str] | None = None
    request: str | None = None
    truncated: bool = False


class Verdicts(Struct, frozen=True):
    """What becomes of a request's events; each is in exactly one of the two.

    Attributes:
        admitted: the messages to publish.
        refused: the others.
        ids: the message ids of those admitted, in the same order.
    """

    admitted: Sequence[Message]
    refused: list[Refusal]
    ids: Sequence[bytes]


def admit(
    parcel: Parcel,
    origin: Origin,
    limits: Limits,
    new_id: Callable[[], str],
    inspect: Inspect | None = None,
) -> Verdicts:
    """Judge every event of a request.

    Args:
        parcel: the opened request.
        origin: workspace, source and time of receipt.
        limits: what is allowed.
        new_id: gives the message id of an event that has none.
        inspect: what the source's policy says of an event that is fit otherwise.

    Returns:
        The messages to publish, in the order of the request, and the refused events.
    """
    desk = _Desk(parcel, origin, limits, new_id, inspect)
    if parcel.glimpses is None:
        for event in parcel.events:
            desk.put(bytes(event), None)
    else:
        desk.put_all(parcel.events, parcel.glimpses)
    return Verdicts(desk.admitted, desk.refused, desk.ids)


class _Desk:
    """Judges events of one request; holds what is the same for all of them."""

    def __init__(
        self,
        parcel: Parcel,
        origin: Origin,
        limits: Limits,
        new_id: Callable[[], str],
        inspect: Inspect | None,
    ) -> None:
        self._kind: TouchpointType | None = parcel.kind
        self._limits = limits
        self._new_id = new_id
        self._inspect = inspect
        self._prefix = f"{origin.workspace}:".encode()
        self._browser = origin.browser
        self._insiders = None if origin.internal else origin.insiders
        self._marks = [mark.encode() for mark in marks_of_request(parcel, origin)]
        self._received = text_of(origin.received)
        self._in_common = in_common(origin.workspace, origin.source)
        self._latest = latest_of(self._received)
        self._sent_at = parcel.sent_at
        self.admitted = Columns(_TOPIC, OWN)
        self._receipts, self.ids, self._times = self.admitted.headers
        self.refused: list[Refusal] = []

    def put_all(self, events: Sequence[Raw | bytes], glimpses: Sequence[Glimpse]) -> None:
        """Judge events whose fields are right one by one."""
        values = [*map(bytes, events)]
        if len(values) < _MANY or not self._put_at_once(values, glimpses):
            for raw, seen in zip(values, glimpses, strict=True):
                self.put(raw, seen)

    def _put_at_once(self, values: list[bytes], glimpses: Sequence[Glimpse]) -> bool:
        """Judge a batch with nothing odd about it; False, and nothing is done, if there is."""
        if self._kind is not None or self._inspect is not None or self._marks or self._insiders:
            return False
        most = self._limits.event_bytes
        found = regular(values, glimpses, most=most, latest=self._latest, browser=self._browser)
        if found is None:
            return False
        admitted, prefix, shared = self.admitted, self._prefix, self._in_common
        self._receipts += repeat(self._received, len(values))
        self.ids += map(str.encode, found.ids)
        self._times += found.times
        admitted.keys += [prefix + it for it in map(str.encode, found.customers)]
        admitted.values += values
        admitted.shared += [shared[kind] for kind in found.kinds]
        return True

    def put(self, raw: bytes, seen: Glimpse | None) -> None:
        """Judge the next event; without a glimpse, or where it is too large, look closely."""
        most = self._limits.event_bytes
        if seen is not None and len(raw) <= most:
            fault = self.decide(raw, seen)
        else:
            fault = self.examine(raw)
        if fault is not None:
            index = len(self.admitted) + len(self.refused)
            self.refused.append(Refusal(fault, index, raw[:most]))

    def examine(self, raw: bytes) -> Fault | None:
        """Judge an event that has to be looked at closely."""
        if len(raw) > self._limits.event_bytes:
            return _too_large(raw, self._limits)
        found = examine(raw, self._kind)
        if isinstance(found, Fault):
            return found
        return self.decide(found.raw, found.glimpse, rewrite=found.rewrite)

    def decide(self, raw: bytes, seen: Glimpse, *, rewrite: bool = False) -> Fault | None:
        """Judge an event whose fields are right one by one; `rewrite` says its bytes are not."""
        customer, message_id, kind = seen.user_id, seen.message_id, self._kind or seen.type
        if type(customer) is not str or not customer:
            customer = customer_id(customer) or customer_id(seen.anonymous_id)
        if kind is None or customer is None or (kind == "track" and not seen.event):
            return _missing(kind, customer, message_id or None)
        if rewrite or not message_id or kind != seen.type or seen.write_key is not None:
            message_id = message_id or self._new_id()
            raw = _rewrite(raw, message_id, kind)
        marks = self._marks
        if self._insiders is not None and self._insiders.include(customer, raw):
            marks = [INTERNAL.encode(), *marks]
        if self._inspect is not None:
            found = self._inspect(raw, Subject(kind, seen.event, message_id))
            if isinstance(found, Fault):
                return found
            raw = found
        time = normalise(seen.timestamp, self._latest) or self._other_time(seen)
        if is_bot((seen.context and seen.context.user_agent) or self._browser):
            marks = [BOT.encode(), *marks]
        self._receipts.append(self._received)
        self.ids.append(message_id.encode())
        self._times.append(time or self._received)
        self.admitted.keys.append(self._prefix + customer.encode())
        self.admitted.values.append(raw)
        self.admitted.shared.append(self._in_common.of(kind, marks, untimed=time is None))
        return None

    def _other_time(self, seen: Glimpse) -> bytes | None:
        latest = self._latest
        return (
            normalise(seen.original_timestamp, latest)
            or normalise(seen.sent_at, latest)
            or normalise(read(self._sent_at), latest)
        )


def marks_of_request(parcel: Parcel, origin: Origin) -> tuple[str, ...]:
    """Give the marks that all events of a request have."""
    if not origin.internal and not parcel.historical:
        return ()
    marks = ((INTERNAL, origin.internal), (HISTORICAL, parcel.historical))
    return tuple(mark for mark, holds in marks if holds)


def _missing(kind: str | None, customer: str | None, message_id: str | None) -> Fault:
    if kind is None:
        detail = f"type must be one of {', '.join(TYPES)}"
        return Fault("touchpoint.type_unknown", detail, message_id)
    if customer is None:
        detail = "an event needs a userId or an anonymousId"
        return Fault("touchpoint.identity_missing", detail, message_id)
    return Fault("touchpoint.event_missing", "a track call needs the event's name", message_id)


def _too_large(raw: bytes, limits: Limits) -> Fault:
    kept = f"its first {limits.event_bytes:,} bytes are kept in the quarantine"
    detail = f"an event may have {limits.event_bytes:,} bytes, this one has {len(raw):,}; {kept}"
    return Fault("touchpoint.too_large", detail, message_id_in(raw))


def _rewrite(raw: bytes, message_id: str, kind: str) -> bytes:
    """Write an event anew with its id and type and without the write key."""
    fields = _as_fields(raw)
    fields["messageId"] = Raw(_encode(message_id))
    fields["type"] = Raw(_encode(kind))
    fields.pop("writeKey", None)
    return _encode(fields)
