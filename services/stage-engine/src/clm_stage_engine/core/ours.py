"""What the engine itself sends to `clm.touchpoints`: decisions that somebody took through the API.

On the wire they are tracked events of the source `stage-engine`. Write keys belong to sources with
generated ids, so no sender can make one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from clm_common.bus.ports import Message
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.contracts.touchpoint import Touchpoint, envelope_of, key_of
from clm_common.instant import to_rfc3339
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


class Occasion(Struct, frozen=True):
    """About whom and when somebody decided.

    Attributes:
        workspace: the workspace's key.
        user_id: the customer's id; None where only a device is known.
        anonymous_id: the device's, where there is no user id.
        message_id: unique; a repeat of the same decision carries the same one.
        at: from when on it holds, µs.
        now: when it was decided, µs.
    """

    workspace: str
    user_id: str | None
    anonymous_id: str | None
    message_id: str
    at: int
    now: int


_encode: Final = msgspec.json.Encoder().encode


def type_of(source: str, type_: str, event: str | None) -> str:
    """Give the type of a touchpoint as the engine sees it."""
    return _TYPES.get(event or "", type_) if source == SOURCE else type_


def sent(event: str, properties: dict[str, object], occasion: Occasion) -> Message:
    """Write what somebody decided as a message of `clm.touchpoints`.

    Without a time of its own (`at` is `now`) a repeat may carry another: it is marked as such.
    """
    time = to_rfc3339(occasion.at)
    touchpoint = Touchpoint(
        type="track",
        message_id=occasion.message_id,
        user_id=occasion.user_id,
        anonymous_id=occasion.anonymous_id,
        event=event,
        properties=properties,
        timestamp=time,
        channel="server",
    )
    envelope = envelope_of(
        workspace=occasion.workspace,
        source=SOURCE,
        message_id=occasion.message_id,
        kind="track",
        time=time,
        received=to_rfc3339(occasion.now),
        untimed=occasion.at == occasion.now,
    )
    key = key_of(occasion.workspace, occasion.user_id, occasion.anonymous_id)
    return Message(TOUCHPOINTS.name, key, _encode(touchpoint), envelope.headers())
