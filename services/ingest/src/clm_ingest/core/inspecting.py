"""What a source's policy and tracking plan make of an event that is fit otherwise."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from clm_ingest.core.admission import Subject
from clm_ingest.core.amending import Amendment
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.judging import Judgement, Plan

_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Inspected(Struct, frozen=True):
    """An inspected event.

    Attributes:
        verdict: the event as it is to be published, or why it is not.
        judgement: what the tracking plan says of it, if it says anything.
    """

    verdict: bytes | Fault
    judgement: Judgement | None = None


def inspect(
    raw: bytes, subject: Subject, amendment: Amendment | None, plan: Plan | None
) -> Inspected:
    """Inspect one event; where nothing is changed it keeps its bytes.

    Args:
        raw: a JSON object, already admitted.
        subject: which event it is.
        amendment: what the policy changes.
        plan: the tracking plan.
    """
    fields = _as_fields(raw)
    judgement = None
    if plan is not None:
        judgement = plan.judge(fields, subject.kind, subject.event, subject.message_id)
        if judgement is not None and judgement.fault is not None:
            return Inspected(judgement.fault, judgement)
    amended = amendment is not None and amendment.apply(fields)
    changed = amended or (judgement is not None and bool(judgement.omitted))
    return Inspected(_encode(fields) if changed else raw, judgement)
