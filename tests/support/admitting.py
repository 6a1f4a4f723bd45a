"""Events, the requests they stand in, and what admission makes of them."""

import itertools
import json
from typing import Any

from clm_common.bus.ports import Message
from clm_common.contracts.touchpoint import TouchpointType
from clm_common.instant import from_rfc3339
from clm_ingest.core.admission import Origin, Refusal, Verdicts, admit
from clm_ingest.core.parcel import Limits, Parcel, unpack_batch, unpack_single

RECEIVED = "2026-11-22T10:00:00.000000Z"
ORIGIN = Origin("acme", "s-1", from_rfc3339(RECEIVED))
LIMITS = Limits()
T1, T2, T3 = (f"2026-11-2{day}T00:00:00.000000Z" for day in (1, 0, 2))

Event = dict[str, Any]  # Any: JSON of the case at hand


def event(**changes: object) -> Event:
    """Build an event that is admitted; None takes a field out."""
    fields: Event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "userId": "u-1",
        "anonymousId": "a-1",
        "timestamp": "2026-11-21T19:57:32.512Z",
        "properties": {"revenue": 12.50},
    }
    fields |= changes
    return {name: value for name, value in fields.items() if value is not None}


def judged(parcel: Parcel) -> Verdicts:
    """Admit a request; ids that are made are numbered."""
    numbers = itertools.count(1)
    return admit(parcel, ORIGIN, LIMITS, lambda: f"made-{next(numbers)}")


def batch_of(*events: object, **others: object) -> Verdicts:
    """Admit a batch of events, with other fields beside them."""
    body = json.dumps({"batch": events, **others}).encode()
    return judged(unpack_batch(body, LIMITS))


def single(body: bytes, kind: TouchpointType = "track") -> Verdicts:
    """Admit the body of a single call."""
    return judged(unpack_single(body, kind))


def admitted(verdicts: Verdicts) -> Message:
    """Give the only message; nothing was refused."""
    assert verdicts.refused == []
    (message,) = verdicts.admitted
    return message


def refused(verdicts: Verdicts) -> Refusal:
    """Give the only refusal; nothing was admitted."""
    assert verdicts.admitted == []
    (refusal,) = verdicts.refused
    return refusal


def time_of(message: Message) -> tuple[str, bool]:
    """Give when an event happened, and whether it did not say so itself."""
    headers = dict(message.all_headers())
    return headers["ce_time"].decode(), headers.get("ce_untimed") == b"1"
