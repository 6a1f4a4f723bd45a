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
from clm_stage_engine.core.ours import MOVED, Occasion, sent


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


class _Moved(Struct, frozen=True):
    properties: ByHand


_NOTHING: Final = ByHand("", "", "", "")
_decode: Final = msgspec.json.Decoder(_Moved).decode


def by_hand(body: bytes) -> ByHand:
    """Read a decision; what is none names no lifecycle."""
    try:
        return _decode(body).properties
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _NOTHING


def message(decision: ByHand, occasion: Occasion) -> Message:
    """Write a decision as a message of `clm.touchpoints`.

    Raises:
        ValueError: reason or author is missing.
    """
    if not decision.reason.strip() or not decision.author.strip():
        raise ValueError("a move by hand needs a reason and an author")
    return sent(MOVED, msgspec.structs.asdict(decision), occasion)
