"""Folding a batch by the lifecycles beside the main one.

Where all of them can be advanced from the state in memory, they are; else the profile is folded
again, by all (see `folding.refold`).
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from clm_common.contracts.touchpoint import HISTORICAL
from clm_stage_engine.core.beside import Beside
from clm_stage_engine.core.fold import State, advance, is_late, lapse
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.folding import Claimed, plain, tell
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry, Standing


class Way(Struct, frozen=True):
    """A lifecycle beside the main one, and its definition that decides about somebody now."""

    beside: Beside
    lifecycle: Lifecycle


def plain_beside(
    others: Sequence[Beside], entry: Entry, claimed: Sequence[Claimed]
) -> list[Way] | None:
    """Do what `plain` does for every lifecycle beside the main one; None where one says None."""
    if entry.state is not None and not runs_by(entry, others):
        return None
    ways: list[Way] = []
    for it in others:
        lifecycle = plain(it.course, entry.beside(it.key), claimed)
        if lifecycle is None:
            return None
        ways.append(Way(it, lifecycle))
    return ways


def runs_by(entry: Entry, others: Sequence[Beside]) -> bool:
    """Tell whether somebody stands in just these lifecycles; in none without a touchpoint."""
    keys = [] if entry.state is None else [it.key for it in others]
    return [it.lifecycle for it in entry.further or ()] == keys


def advance_beside(
    ways: Sequence[Way], entry: Entry, claimed: Sequence[Claimed], journal: Journal
) -> tuple[Standing, ...]:
    """Fold sorted touchpoints on top of a profile's states beside the main one."""
    return tuple(_advance(it, entry.beside(it.beside.key), claimed, journal) for it in ways)


def _advance(way: Way, entry: Entry, claimed: Sequence[Claimed], journal: Journal) -> Standing:
    state, historical, lifecycle = entry.state, entry.historical, way.lifecycle
    for arrival, _ in claimed:
        if state is not None and is_late(state, arrival):
            continue
        step = advance(lifecycle, state, arrival)
        state = step.state
        imported = HISTORICAL in arrival.marks
        for change in step.changes:
            past = historical if change.kind == "deadline" else imported
            past = past or change.at < way.beside.began
            tell(journal, lifecycle, entry, change, historical=past)
        historical = imported
    assert state is not None  # noqa: S101 - there is a touchpoint at least
    folded = lifecycle.digest if entry.state is None else entry.definition
    return Standing(lifecycle.key, folded, state)


def expire_beside(
    ways: Sequence[Way], entry: Entry, now: int, journal: Journal
) -> tuple[Standing, ...]:
    """Fire a profile's deadlines beside the main lifecycle that are due by `now` (µs)."""
    found = ((it, entry.beside(it.beside.key)) for it in ways)
    return tuple(
        Standing(it.beside.key, stands.definition, _lapse(it, stands, stands.state, now, journal))
        for it, stands in found
        if stands.state is not None
    )


def _lapse(way: Way, entry: Entry, state: State, now: int, journal: Journal) -> State:
    step = lapse(way.lifecycle, state, now)
    for change in step.changes:
        historical = entry.historical or change.at < way.beside.began
        tell(journal, way.lifecycle, entry, change, historical=historical)
    return step.state
