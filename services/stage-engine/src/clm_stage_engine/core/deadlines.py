"""Deadlines: when time alone will make one of a stage's moves possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from clm_stage_engine.core.leaf import Leaf, Moment, later
from clm_stage_engine.core.lifecycle import Node, Wait
from clm_stage_engine.core.logic import earliest

_ROUNDS: Final = 64
"""Instants at which a condition may fail to hold before a profile is looked at again."""


def due(node: Node, moment: Moment) -> int | None:
    """Give the first instant after a moment at which a deadline of this stage falls due."""
    soonest: int | None = None
    for wait in node.waits:
        found = first(wait, moment)
        if found is not None and (soonest is None or found < soonest):
            soonest = found
    return soonest


def first(wait: Wait, moment: Moment) -> int | None:
    """Give the first instant after a moment at which time alone makes a move's condition hold.

    A clock goes round for ever: after `_ROUNDS` instants in vain the profile is looked at again.
    """
    found = _soonest(wait.leaves, moment)
    if not wait.guarded:
        return found
    for _ in range(_ROUNDS):
        if found is None:
            return None
        if wait.move.when.holds(later(moment, found)):
            return found
        moment = later(moment, found)
        bound = earliest(wait.move.when, moment)
        if bound is None:
            return None
        if bound > found:
            moment = later(moment, bound - 1)
        found = _soonest(wait.leaves, moment)
    return found


def _soonest(leaves: Iterable[Leaf], moment: Moment) -> int | None:
    soonest: int | None = None
    for leaf in leaves:
        found = leaf.due(moment)
        if found is not None and (soonest is None or found < soonest):
            soonest = found
    return soonest
