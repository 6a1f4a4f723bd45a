"""Snapshots: where somebody stood when older touchpoints were let go.

A snapshot is the fold of all touchpoints before an instant, its `cut`; see `resuming`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from clm_stage_engine.core.fold import Change, State
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.slots import Slot


class Line(Struct, frozen=True, gc=False, array_like=True):
    """A stage that was entered before the cut: a `Change` without what it was judged by.

    Attributes:
        at: when, µs.
        source: the stage that was left; None at the start.
        target: the stage that was entered.
        move: the name of the move, or `start`.
        cause: the message id of the touchpoint; None for a deadline.
        historical: it follows from what was imported from the past.
        definition: the digest of the definition that decided.
        version: that one's number; None of a file's.
    """

    at: int
    source: str | None
    target: str
    move: str
    cause: str | None
    historical: bool
    definition: str
    version: int | None


class Snapshot(Struct, frozen=True, gc=False, array_like=True):
    """Where somebody stood at an instant. It is stored: fields are only ever added at the end.

    Attributes:
        cut: the touchpoints before it are folded in, and the deadlines that fell due, µs.
        lifecycle: the key of the lifecycle.
        definition: the digest of the definition that folded.
        slots: what its facts are.
        state: the state of the fold.
        lines: the timeline up to the cut.
        touchpoints: how many are folded in.
        historical: the newest of them was imported from the past.
        further: the same at the same cut by the lifecycles that ran beside this one.
    """

    cut: int
    lifecycle: str
    definition: str
    slots: tuple[Slot, ...]
    state: State
    lines: tuple[Line, ...]
    touchpoints: int
    historical: bool
    further: tuple[Snapshot, ...] = ()


_pack: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_unpack: Final = msgspec.msgpack.Decoder(Snapshot).decode


def pack(snapshot: Snapshot) -> bytes:
    """Write a snapshot; equal ones give equal bytes."""
    return _pack(snapshot)


def unpack(data: bytes) -> Snapshot:
    """Read what `pack` wrote, by whatever definition."""
    return _unpack(data)


def line(lifecycle: Lifecycle, change: Change, *, historical: bool) -> Line:
    """Write down a change that the fold gave."""
    return Line(
        change.at,
        change.source,
        change.target,
        change.move,
        change.cause,
        historical,
        lifecycle.digest,
        lifecycle.version,
    )
