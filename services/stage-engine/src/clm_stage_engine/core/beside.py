"""Lifecycles that run beside the main one: each folds the same touchpoints by a course of its own.

What happened before a lifecycle began to run is history to it: its changes from then say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec import Struct

from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.snapshot import Snapshot

K = TypeVar("K")


class Beside(Struct, frozen=True):
    """A lifecycle that runs beside the main one, as it decides about somebody.

    Attributes:
        key: its name in the system.
        began: changes from before this instant (µs) are historical.
        course: the definitions that decide, in turn.
    """

    key: str
    began: int
    course: Course


def snapshots_of(key: str, snapshots: Mapping[K, Snapshot]) -> Mapping[K, Snapshot]:
    """Give of each snapshot the one that a lifecycle goes on from: its own, where there is one."""
    return {each: _of(key, it) for each, it in snapshots.items()} if snapshots else snapshots


def _of(key: str, snapshot: Snapshot) -> Snapshot:
    every = (snapshot, *snapshot.further)
    return next((it for it in every if it.lifecycle == key), snapshot)
