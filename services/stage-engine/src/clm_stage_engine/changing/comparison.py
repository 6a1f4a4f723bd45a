"""Compares two definitions over the whole stored history: reads it, folds it by both, counts.

It changes nothing. Where it stands (`Place`) can be written down at any time, and a later run goes
on from there.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Final
from uuid import UUID

from msgspec import Struct, field

from clm_common.instant import to_rfc3339
from clm_common.store.database import Database
from clm_stage_engine.core import comparing
from clm_stage_engine.core.beside import snapshots_of
from clm_stage_engine.core.comparing import Differences, Example, StageLine
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course, Policy
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import Change, order
from clm_stage_engine.core.lifecycle import Stage
from clm_stage_engine.core.snapshot import Line
from clm_stage_engine.core.starting import start
from clm_stage_engine.giants import apart
from clm_stage_engine.queries import people
from clm_stage_engine.queries.people import Among, Person


class Question(Struct, frozen=True):
    """What is asked; of another question a written place is no use.

    Attributes:
        lifecycle: the digest of the definition that is tried.
        against: of the one that it is held against.
        workspace: whose people; None for all.
        share: of the people that are looked at.
        each: how many people of a kind of difference are shown.
        policy: what becomes of people in flight.
        mapping: the stages that they go over to, as far as somebody said.
    """

    lifecycle: str
    against: str
    workspace: str | None
    share: float
    each: int
    policy: Policy = "re-derive"
    mapping: dict[str, str] = {}


class Place(Struct):
    """How far a comparison is.

    Attributes:
        question: what is asked.
        until: the instant (µs) up to which deadlines have fired, whenever the run goes on.
        after: the last person counted.
        found: what was counted.
        reading: seconds spent on waiting for PostgreSQL and decoding its rows.
        folding: seconds spent on ordering, folding by both definitions, and counting.
    """

    question: Question
    until: int
    after: UUID = people.FIRST
    found: Differences = field(default_factory=Differences)
    reading: float = 0.0
    folding: float = 0.0


class Definition(Struct, frozen=True):
    """Which definition."""

    key: str
    definition: str


class Moved(Struct, frozen=True, rename={"source": "from", "target": "to"}):
    """How many stand in a stage now and would stand in another one."""

    source: str
    target: str
    people: int


class StageChanges(Struct, frozen=True):
    """The messages that would follow on `clm.stage-changes`, by the stage they enter."""

    stage: str
    retracted: int
    asserted: int


class Pace(Struct, frozen=True):
    """What it cost. A touchpoint is read once and folded by both definitions."""

    reading_seconds: float
    read_per_second: int
    folding_seconds: float
    folded_per_second: int


class Answer(Struct, frozen=True):
    """What the other definition would make of everybody.

    Attributes:
        lifecycle: the definition that was tried.
        against: what it was held against.
        policy: what would become of people in flight.
        until: up to when deadlines have fired.
        workspace: whose people; null for all workspaces'.
        sample: the share of the people that was looked at; figures are not scaled up.
        people: those looked at.
        touchpoints: theirs, as far as they are kept.
        rewritten: people who would stand as they do, after another past.
        stages: the figures by stage: those of the new definition in its order, then others.
        moved: from where to where people would move.
        stage_changes: the messages that would follow.
        examples: people whose standing or past would change.
        pace: what it cost.
    """

    lifecycle: Definition
    against: Definition
    policy: Policy
    until: str
    workspace: str | None
    sample: float
    people: int
    touchpoints: int
    rewritten: int
    stages: list[StageLine]
    moved: list[Moved]
    stage_changes: list[StageChanges]
    examples: list[Example]
    pace: Pace


class _Folded(Struct, frozen=True):
    """Somebody by both definitions: how many touchpoints there are, and both timelines."""

    touchpoints: int
    was: Sequence[Change | Line]
    would: Sequence[Change | Line]


Report = Callable[[int], None]
"""Is told after every person how many people this run has counted."""


class Comparison:
    """One comparison; `run` may be broken off at any await, and `place` always says where it is."""

    def __init__(self, tried: Course, against: Course, place: Place) -> None:
        """Begin, or go on from a place.

        Args:
            tried: the definition that is tried, as it would decide.
            against: what it is held against.
            place: how far it is.
        """
        self._tried = tried
        self._against = against
        self._lifecycle = tried.lifecycle
        self.place = place

    @property
    def among(self) -> Among:
        """Who is looked at."""
        return Among(self.place.question.workspace, self.place.question.share)

    async def run(self, database: Database, report: Report) -> Answer:
        """Go through the people that are left.

        Raises:
            Unavailable: PostgreSQL is away; another run goes on.
        """
        async with aclosing(self.steps(database)) as steps:
            async for counted in steps:
                report(counted)
        return self.answer()

    async def steps(self, database: Database) -> AsyncGenerator[int]:
        """Do the same a person at a time: give how many this run has counted after each.

        Raises:
            Unavailable: PostgreSQL is away; another run goes on.
        """
        place, counted, began = self.place, 0, perf_counter()
        async with aclosing(people.people(database, self.among, place.after)) as everybody:
            async for person in everybody:
                arrived = perf_counter()
                folded = await apart(len(person.touches), self._fold, person)
                self._count(person, folded)
                place.after = UUID(bytes=person.id.bytes)
                done = perf_counter()
                place.reading += arrived - began
                place.folding += done - arrived
                counted += 1
                yield counted
                began = perf_counter()

    def _fold(self, person: Person) -> _Folded:
        touches = order(person.touches)
        was, would = (self._timeline(it, person, touches) for it in (self._against, self._tried))
        return _Folded(len(touches), was, would)

    def _count(self, person: Person, folded: _Folded) -> None:
        comparing.add(
            self.place.found,
            str(person.id),
            folded.touchpoints,
            folded.was,
            folded.would,
            names=self._lifecycle.names,
            same_key=self._lifecycle.key == self._against.lifecycle.key,
            each=self.place.question.each,
        )

    def _timeline(
        self, course: Course, person: Person, touches: Sequence[Touch]
    ) -> Sequence[Change | Line]:
        begun = start(
            course, person.id, snapshots_of(course.lifecycle.key, person.snapshots), touches
        )
        found = follow(course, touches, self.place.until, begun)
        return [*begun.beginning.lines, *found.timeline]

    def answer(self) -> Answer:
        """Give what was counted so far."""
        place, found = self.place, self.place.found
        stages = self._stages(found)
        return Answer(
            lifecycle=Definition(self._lifecycle.key, self._lifecycle.digest),
            against=Definition(self._against.lifecycle.key, self._against.lifecycle.digest),
            policy=place.question.policy,
            until=to_rfc3339(place.until),
            workspace=place.question.workspace,
            sample=place.question.share,
            people=found.people,
            touchpoints=found.touchpoints,
            rewritten=found.rewritten,
            stages=comparing.stage_lines(found, stages),
            moved=_moved(found, stages),
            stage_changes=_changes(found, stages),
            examples=[it for shown in found.examples.values() for it in shown],
            pace=_pace(place),
        )

    def _stages(self, found: Differences) -> list[str]:
        """Name every stage once: the tried definition's in order, then what only the other has."""
        names = self._lifecycle.names
        of_other = [names.get(it.key, it.key) for it in _stages_of(self._against)]
        known = [*(it.key for it in self._lifecycle.stages), *of_other]
        return list(dict.fromkeys([*known, *found.retracted, *found.asserted]))


def _stages_of(course: Course) -> list[Stage]:
    """Give the stages of every definition of a course that somebody may be in."""
    return [stage for it in course.living for stage in it.stages]


def _moved(found: Differences, stages: Sequence[str]) -> list[Moved]:
    matrix = found.matrix
    pairs = [(a, b) for a in stages for b in stages if a != b]
    return [Moved(a, b, people) for a, b in pairs if (people := matrix.get(a, {}).get(b, 0))]


def _changes(found: Differences, stages: Sequence[str]) -> list[StageChanges]:
    figures = [(it, found.retracted.get(it, 0), found.asserted.get(it, 0)) for it in stages]
    return [StageChanges(*it) for it in figures if it[1] or it[2]]


_TWO: Final = 2  # both definitions fold every touchpoint


def _pace(place: Place) -> Pace:
    read = place.found.touchpoints
    return Pace(
        round(place.reading, 3),
        round(read / place.reading) if place.reading else 0,
        round(place.folding, 3),
        round(_TWO * read / place.folding) if place.folding else 0,
    )
