"""The quarantine: refused events as dead letters, with the reason and the original bytes."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS_DLQ
from clm_common.instant import to_rfc3339
from clm_ingest.core.admission import Origin, Refusal, marks_of_request
from clm_ingest.core.parcel import Parcel

_TOPIC: Final = TOUCHPOINTS_DLQ.name
_encode: Final = msgspec.json.Encoder().encode


def letters_of(refused: Sequence[Refusal], origin: Origin, parcel: Parcel) -> Iterator[Message]:
    """Write the dead letters of refused events, keyed by workspace and source.

    Args:
        refused: the events.
        origin: where they came from, and when.
        parcel: the request they were in.
    """
    marks = marks_of_request(parcel, origin)
    key = f"{origin.workspace}:{origin.source}".encode()
    at = to_rfc3339(origin.received)
    for refusal in refused:
        letter = DeadLetter(
            reason=refusal.fault.code,
            detail=refusal.fault.detail,
            at=at,
            original=refusal.original,
            workspace=origin.workspace,
            source=origin.source,
            message_id=refusal.fault.message_id,
            index=refusal.index,
            headers=None if refusal.headers is None else dict(refusal.headers),
            kind=parcel.kind,
            hook=refusal.hook,
            request=refusal.request,
            truncated=refusal.truncated,
            marks=marks,
        )
        yield Message(_TOPIC, key, _encode(letter))
