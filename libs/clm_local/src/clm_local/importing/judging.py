"""What ingest would say of events, by ingest's own admission. Pure.

History needs a time: an event without a usable one would count as of now, so it is held back.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.heads import UNTIMED
from clm_ingest.core.parcel import Limits, unpack_batch

_LIMITS: Final = Limits()
_ORIGIN: Final = ("import", "import")
_UNTIMED: Final = Fault(
    "import.untimed", "it has no usable time and would count as of now; give it a timestamp"
)


def body_of(events: Sequence[bytes]) -> bytes:
    """Give the body of an import of events, JSON objects, whatever sent them first."""
    return b'{"historical":true,"batch":[' + b",".join(events) + b"]}"


def judge(events: Sequence[bytes], *, now: int) -> list[Fault | None]:
    """Say of each event why it is not to be sent; None of one that is fit.

    Args:
        events: JSON objects.
        now: µs.
    """
    parcel = unpack_batch(body_of(events), _LIMITS)
    verdicts = admit(parcel, Origin(*_ORIGIN, now), _LIMITS, lambda: str(uuid.uuid4()))
    refused = {it.index: it.fault for it in verdicts.refused}
    admitted = iter(verdicts.admitted)
    faults: list[Fault | None] = []
    for index in range(len(events)):
        fault = refused.get(index)
        if fault is None and UNTIMED in next(admitted).all_headers():
            fault = _UNTIMED
        faults.append(fault)
    return faults
