"""The ledger: what some people's stage entries add to the figures.

A figure is a sum over people: `figures` says what one person's timeline contributes, and `settle`
books the difference between what it contributed before a batch and what it contributes after it.
So every figure is exact at any time, late and retracted entries correct the days they belong to,
and no order, repetition or split of the messages can change the outcome.

| measure | what one person adds |
|---|---|
| `entries` | 1 on the day of each entry, for the stage entered |
| `present` | 1 on the day a stage is entered, -1 on the day it is left: summed up to a day, the people in the stage at its end |
| `reached` | 1 for each stage ever entered, on the day the person first appeared (their cohort) |
| `position` | how many stages the person had entered before they first entered this one, on the cohort's day |
"""  # noqa: E501 - a table's row is one line

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from clm_metrics.core.calendar import Calendar
from clm_metrics.core.entry import Entry, Person

ENTRIES: Final = "entries"
PRESENT: Final = "present"
REACHED: Final = "reached"
POSITION: Final = "position"

REVISION: Final = 1
"""Raise it when `figures` changes its meaning: kept figures of an older one are made anew."""

Local = tuple[str, str, int]
"""Measure, stage and day of a figure within one person's workspace and lifecycle."""


class Cell(NamedTuple):
    """Which figure: a measure of a stage on a local day."""

    workspace: str
    lifecycle: str
    measure: str
    stage: str
    day: int


class Settlement(Struct, frozen=True):
    """What a batch changes.

    Attributes:
        entries: the entries that are new or beat the one known, one per person and id.
        deltas: what to add to the figures; none is zero.
    """

    entries: tuple[Entry, ...]
    deltas: Mapping[Cell, int]


def settle(
    known: Iterable[Entry], arrived: Iterable[Entry], calendars: Mapping[str, Calendar]
) -> Settlement:
    """Decide which arrived entries are true and what they change in the figures.

    Args:
        known: all entries kept of every person that something arrived for, retracted ones included.
        arrived: what arrived, in any order, repeated or not.
        calendars: per workspace, the calendar its days are counted by.
    """
    before = _registers(known)
    changed = _changes(before, arrived)
    sums: dict[tuple[str, str], dict[Local, int]] = defaultdict(lambda: defaultdict(int))
    for person, changes in changed.items():
        old = before.get(person, {})
        into = sums[person.workspace, person.lifecycle]
        for local, value in _difference(old, changes, calendars[person.workspace].day).items():
            if value:
                into[local] += value
    return Settlement(
        entries=tuple(entry for changes in changed.values() for entry in changes.values()),
        deltas={
            Cell(workspace, lifecycle, *local): value
            for (workspace, lifecycle), found in sums.items()
            for local, value in found.items()
            if value
        },
    )


def _difference(
    old: Mapping[UUID, Entry], changes: Mapping[UUID, Entry], day_of: Callable[[int], int]
) -> Mapping[Local, int]:
    """Give what changes add to one person's figures; some values may be zero."""
    found = figures({**old, **changes}.values(), day_of)
    for local, value in figures(old.values(), day_of).items():
        found[local] -= value
    return found


def figures(entries: Iterable[Entry], day_of: Callable[[int], int]) -> defaultdict[Local, int]:
    """Give what one person's entries add to the figures of their workspace and lifecycle.

    Args:
        entries: everything kept of that person, in any order; retracted ones count nothing.
        day_of: gives the local day of an instant (µs).
    """
    found: defaultdict[Local, int] = defaultdict(int)
    reached: dict[str, None] = {}
    cohort = 0
    left: str | None = None
    for entry in timeline(entries):
        stage, day = entry.target, day_of(entry.at)
        if left is None:
            cohort = day
        else:
            found[PRESENT, left, day] -= 1
        found[PRESENT, stage, day] += 1
        found[ENTRIES, stage, day] += 1
        reached[stage] = None
        left = stage
    for position, stage in enumerate(reached):
        found[REACHED, stage, cohort] = 1
        found[POSITION, stage, cohort] = position
    return found


def timeline(entries: Iterable[Entry]) -> list[Entry]:
    """Give the entries that stand, in the order in which they happened."""
    return sorted((entry for entry in entries if not entry.retracted), key=_place)


def _place(entry: Entry) -> tuple[int, bool, bool, str, bytes]:
    return entry.place


def _registers(entries: Iterable[Entry]) -> dict[Person, dict[UUID, Entry]]:
    found: dict[Person, dict[UUID, Entry]] = defaultdict(dict)
    for entry in entries:
        found[entry.person][entry.id] = entry
    return found


def _changes(
    before: Mapping[Person, Mapping[UUID, Entry]], arrived: Iterable[Entry]
) -> dict[Person, dict[UUID, Entry]]:
    """Keep of what arrived, per person and id, the highest version that beats the one known."""
    found: dict[Person, dict[UUID, Entry]] = defaultdict(dict)
    for entry in arrived:
        person, key = entry.person, entry.id
        current = found[person].get(key) or before.get(person, {}).get(key)
        if current is None or entry.rank > current.rank:
            found[person][key] = entry
    return {person: changes for person, changes in found.items() if changes}
