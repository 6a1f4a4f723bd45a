"""The truth about the demo, counted straight from the clickstream, with nothing of the engine's.

It says what the system must show: people per stage, entries per day, conversion, welcome mails.
The rules of `reach.yaml` are spelt out here a second time, on purpose and as plainly as possible:
first contact enters Reach, signing in (or signing up) Acquisition, an order Conversion, a second
order within 180 days Retention, a third within 365 days Loyalty if 500 euros were spent in them or
a review was ever written, and 120 days without an order lead back to Acquisition.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct

from clm_common import instant
from clm_local.demo.clickstream import SIGNS_IN, revenue
from clm_local.demo.dataset import Row

STAGES = ("reach", "acquisition", "conversion", "retention", "loyalty")
BUYERS = STAGES[2:]
LAPSED = "acquisition"


class Entry(Struct, frozen=True):
    """A person entered a stage."""

    person: str
    stage: str
    time: int
    source: str | None


class Truth(Struct, frozen=True):
    """What the system must show.

    Attributes:
        events: calls to send: one a row, and one identify for each who signs in.
        profiles: people, known or not.
        people: how many are in each stage now.
        entered: how many ever entered each stage.
        entries: entries per stage and UTC day, repeated entries included.
        welcomes: when each person who gets welcomed or was entered Acquisition from Reach.
        returned: the stages of each person who lapsed and came back, in order.
    """

    events: int
    profiles: int
    people: dict[str, int]
    entered: dict[str, int]
    entries: dict[str, dict[str, int]]
    welcomes: dict[str, int]
    returned: dict[str, list[str]]

    def emails(self, since: int) -> int:
        """Give how many welcome mails are sent when what lies before `since` counts as history."""
        return sum(time >= since for time in self.welcomes.values())


def recount(rows: Iterable[Row], *, shift: int, now: int) -> Truth:
    """Count the clickstream moved by `shift` (µs), as of `now`."""
    people: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        people[row.person].append(row)
    entries = {person: _entries(person, rows, shift, now) for person, rows in people.items()}
    return Truth(
        events=sum(len(rows) + _signs_in(rows) for rows in people.values()),
        profiles=len(people),
        people=_filled(Counter(timeline[-1].stage for timeline in entries.values())),
        entered=_filled(
            Counter(stage for it in entries.values() for stage in {entry.stage for entry in it})
        ),
        entries=_days(entry for timeline in entries.values() for entry in timeline),
        welcomes={
            person: entry.time
            for person, timeline in entries.items()
            for entry in timeline
            if (entry.source, entry.stage) == ("reach", "acquisition")
        },
        returned={
            person: [entry.stage for entry in timeline]
            for person, timeline in sorted(entries.items())
            if any(entry.source in BUYERS and entry.stage == LAPSED for entry in timeline[:-1])
        },
    )


def way(rows: Iterable[Row], *, shift: int, now: int) -> list[str]:
    """Give the stages that one person, whose rows these are, went through."""
    return [entry.stage for entry in _entries("", rows, shift, now)]


def _signs_in(rows: Iterable[Row]) -> bool:
    return any(row.event in SIGNS_IN for row in rows)


def _entries(person: str, rows: Iterable[Row], shift: int, now: int) -> list[Entry]:
    """Follow one person through the stages."""
    in_order = sorted(rows, key=lambda it: (it.time, it.number))
    walk = _Walk(person, in_order[0].time + shift)
    for row in in_order:
        walk.lapse(row.time + shift)
        if row.event in SIGNS_IN:
            walk.sign_in(row.time + shift)
        elif row.event == "purchase":
            walk.order(row.time + shift, revenue(row.number))
        elif row.event == "review_page":
            walk.review(row.time + shift)
    walk.lapse(now)
    return walk.timeline


class _Walk:
    """One person's way through the stages."""

    def __init__(self, person: str, first_seen: int) -> None:
        self.timeline = [Entry(person, "reach", first_seen, None)]
        self._orders: list[tuple[int, int]] = []
        self._known = self._reviewed = False

    def lapse(self, time: int) -> None:
        """Lead a buyer back who was silent for 120 days by then."""
        if self._stage in BUYERS:
            due = max(self._orders[-1][0], self.timeline[-1].time) + 120 * instant.DAY
            if due <= time:
                self._enter("acquisition", due)

    def sign_in(self, time: int) -> None:
        """Be known from now on."""
        if self._stage == "reach" and not self._known:
            self._enter("acquisition", time)
        self._known = True

    def order(self, time: int, cents: int) -> None:
        """Buy something."""
        self._orders.append((time, cents))
        if self._stage in {"reach", "acquisition"}:
            self._enter("conversion", time)
        elif self._stage == "conversion" and len(self._within(180, time)) >= 2:  # noqa: PLR2004  (the rule)
            self._enter("retention", time)
        elif self._stage == "retention":
            self._grow_loyal(time)

    def review(self, time: int) -> None:
        """Write a review."""
        self._reviewed = True
        if self._stage == "retention":
            self._grow_loyal(time)

    @property
    def _stage(self) -> str:
        return self.timeline[-1].stage

    def _grow_loyal(self, time: int) -> None:
        recent = self._within(365, time)
        if len(recent) >= 3 and (self._reviewed or sum(recent) >= 500_00):  # noqa: PLR2004  (the rule)
            self._enter("loyalty", time)

    def _within(self, days: int, time: int) -> list[int]:
        return [cents for at, cents in self._orders if at > time - days * instant.DAY]

    def _enter(self, stage: str, time: int) -> None:
        self.timeline.append(Entry(self.timeline[-1].person, stage, time, self._stage))


def _filled(counts: Counter[str]) -> dict[str, int]:
    return {stage: counts[stage] for stage in STAGES}


def _days(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {stage: Counter() for stage in STAGES}
    for entry in entries:
        counts[entry.stage][instant.to_rfc3339(entry.time)[:10]] += 1
    return {stage: dict(sorted(days.items())) for stage, days in counts.items()}
