"""A move by hand: somebody's decision, as a touchpoint among the others.

On the wire it is a tracked event `Profile Moved` of the source `stage-engine`, which no sender can
be. The fold sees it as the type `move`, in its place by event time, so that a late touchpoint, a
merge or a replay keeps it.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from clm_common.bus.ports import Message
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.contracts.touchpoint import Touchpoint, envelope_of, key_of
from clm_common.instant import to_rfc3339
from clm_stage_engine.core.ours import MOVED, SOURCE


class ByHand(Struct, frozen=True):
    """What somebody decided.

    Attributes:
        lifecycle: in which lifecycle.
        stage: where the profile is moved to; a key or an alias.
        reason: why.
        author: who decided.
    """

    lifecycle: str
    stage: str
    reason: str
    author: str


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


class _Moved(Struct, frozen=True):
    properties: ByHand


_NOTHING: Final = ByHand("", "", "", "")
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Moved).decode


def by_hand(body: bytes) -> ByHand:
    """Read a decision; what is none names no lifecycle."""
    try:
        return _decode(body).properties
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NOTHING


def message(decision: ByHand, occasion: Occasion) -> Message:
    """Write a decision as a message of `clm.touchpoints`.

    Without a time of its own (`at` is `now`) a repeat may carry another: it is marked as such.

    Raises:
        ValueError: reason or author is missing.
    """
    if not decision.reason.strip() or not decision.author.strip():
        raise ValueError("a move by hand needs a reason and an author")
    time = to_rfc3339(occasion.at)
    event = Touchpoint(
        type="track",
        message_id=occasion.message_id,
        user_id=occasion.user_id,
        anonymous_id=occasion.anonymous_id,
        event=MOVED,
        properties=msgspec.structs.asdict(decision),
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
    return Message(TOUCHPOINTS.name, key, _encode(event), envelope.headers())
