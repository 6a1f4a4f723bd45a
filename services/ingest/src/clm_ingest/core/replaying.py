"""Replay: a dead letter is admitted once more, as if it had been sent again when it was refused.

It keeps its message id; one that had none gets the letter's. So a letter that is replayed twice
counts once, whatever became of the first time, and whether its body was edited in between.
What was imported from the past, or came from inside the company, is still marked so.

A request that could not be opened is opened once more. Its events have their own ids, or the
letter's with their place; those that are refused get letters of their own, if any is admitted.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final

import msgspec
from msgspec import Raw, Struct

from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.touchpoint import (
    HISTORICAL,
    INTERNAL,
    MARKS_HEADER,
    TYPES,
    TouchpointType,
    marks_of,
)
from clm_common.errors import Rejected
from clm_common.instant import from_rfc3339
from clm_ingest.core import hooks
from clm_ingest.core.admission import Inspect, Origin, admit
from clm_ingest.core.glimpse import UNREADABLE, Fault
from clm_ingest.core.hooks import Hook
from clm_ingest.core.insiders import Insiders
from clm_ingest.core.letters import is_truncated
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.quarantine import letters_of
from clm_ingest.core.translation import settle
from clm_ingest.core.unopened import Unpack, reopen

_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
_KINDS: Final[dict[str | None, TouchpointType]] = {kind: kind for kind in TYPES}


class Order(Struct, frozen=True):
    """A letter to replay.

    Attributes:
        id: its id.
        letter: the letter.
        workspace: whose touchpoint it becomes.
        source: from which source.
        body: the event as it was mended, in the form in which it was sent; None sends the original.
        insiders: the company's own people, as the source's policy has them now.
    """

    id: str
    letter: DeadLetter
    workspace: str
    source: str
    body: bytes | None = None
    insiders: Insiders | None = None


def readmit(
    order: Order,
    limits: Limits,
    inspect: Inspect | None,
    mapping: Hook | None = None,
    unpack: Unpack | None = None,
) -> Sequence[Message] | Fault:
    """Admit a letter's event once more, or say why it still cannot be.

    Args:
        order: what to replay.
        limits: what is allowed.
        inspect: what the source's policy says of an event.
        mapping: what reads a webhook; it may have been mended, too.
        unpack: what opens a request that could not be opened.
    """
    letter = order.letter
    if order.body is None and is_truncated(letter):
        detail = "only its beginning was kept; replay it with a whole body"
        return Fault("letter.truncated", detail, letter.message_id)
    if mapping is not None and letter.hook is not None:
        return _reread(order, letter.hook, mapping, limits, inspect)
    if unpack is not None:
        return _reopened(order, unpack, limits, inspect)
    message_id = letter.message_id or (letter.headers or {}).get("ce_id")
    raw = letter.original if order.body is None else _named(order.body, message_id or order.id)
    marks, origin = _marks(letter), _origin(order)
    parcel = Parcel(_KINDS.get(letter.kind), [raw], None, historical=HISTORICAL in marks)
    verdicts = admit(parcel, origin, limits, lambda: message_id or order.id, inspect)
    return verdicts.refused[0].fault if verdicts.refused else verdicts.admitted


def _reread(
    order: Order, hook: str, mapping: Hook, limits: Limits, inspect: Inspect | None
) -> Sequence[Message] | Fault:
    """Read a webhook's body once more; its touchpoints get the ids that they would have had."""
    headers, body = dict(order.letter.headers or {}), order.letter.original
    if order.body is not None:
        headers["content-type"], body = "application/json", order.body
    parcel = hooks.unpack(mapping, hook, headers, body, limits)
    if parcel.hopeless:
        return parcel.hopeless[0].fault
    if not parcel.events:
        return Fault("hook.ignored", "the mapping has no touchpoint for it", None)
    verdicts = admit(parcel, _origin(order), limits, lambda: order.id, inspect)
    return verdicts.refused[0].fault if verdicts.refused else verdicts.admitted


def _reopened(
    order: Order, unpack: Unpack, limits: Limits, inspect: Inspect | None
) -> Sequence[Message] | Fault:
    """Open a request once more, and admit its events."""
    try:
        parcel = reopen(unpack, order.letter, order.body, limits)
    except Rejected as error:
        return Fault(error.slug, error.message)
    origin, new_id = _origin(order), partial(next, _ids(order.id))
    verdicts = settle(parcel, admit(parcel, origin, limits, new_id, inspect), limits)
    if len(verdicts.admitted):
        return [*verdicts.admitted, *letters_of(verdicts.refused, origin, parcel)]
    nothing = Fault("body.empty", "there is no event in it")
    return next((refusal.fault for refusal in verdicts.refused), nothing)


def _ids(letter: str) -> Iterator[str]:
    """Give the ids of a request's events that have none, in their order; always the same."""
    yield letter
    yield from (f"{letter}-{place}" for place in count(1))


def _origin(order: Order) -> Origin:
    """Say where the event came from, and when."""
    internal = INTERNAL in _marks(order.letter)
    received = _received(order.letter)
    return Origin(
        order.workspace, order.source, received, internal=internal, insiders=order.insiders
    )


def _marks(letter: DeadLetter) -> Sequence[str]:
    """Give the marks of a letter: a record's stand in its headers."""
    return letter.marks or marks_of((letter.headers or {}).get(MARKS_HEADER, "").encode())


def _named(body: bytes, message_id: str) -> bytes:
    """Give a mended event the id that the broken one had; what is no event is judged later."""
    try:
        fields = _as_fields(body)
    except UNREADABLE:
        return body
    fields["messageId"] = Raw(_encode(message_id))
    return _encode(fields)


def _received(letter: DeadLetter) -> int:
    """Give the time of receipt: a record's own, else the time it was refused, which is the same."""
    try:
        return from_rfc3339((letter.headers or {})["ce_receivedtime"])
    except (KeyError, ValueError):
        return from_rfc3339(letter.at)
