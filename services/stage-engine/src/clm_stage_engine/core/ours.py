"""What the engine itself sends to `clm.touchpoints`: decisions that somebody took through the API.

On the wire they are tracked events of the source `stage-engine`. Write keys belong to sources with
generated ids, so no sender can make one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clm_stage_engine.core.lifecycle import MANUAL
from clm_stage_engine.core.merging import Kind

SOURCE: Final = "stage-engine"
MOVED: Final = "Profile Moved"
EVENTS: Final[Mapping[Kind, str]] = {
    "merge": "Profiles Merged",
    "unmerge": "Profiles Unmerged",
    "split": "Identifier Split",
}
"""The event of each kind of decision about who is one person."""

DECISIONS: Final[Mapping[str, Kind]] = {kind: kind for kind in EVENTS}
"""The kind of decision by a touchpoint's type as the engine sees it."""

_TYPES: Final[Mapping[str, str]] = {MOVED: MANUAL} | {event: it for it, event in EVENTS.items()}


def type_of(source: str, type_: str, event: str | None) -> str:
    """Give the type of a touchpoint as the engine sees it."""
    return _TYPES.get(event or "", type_) if source == SOURCE else type_
