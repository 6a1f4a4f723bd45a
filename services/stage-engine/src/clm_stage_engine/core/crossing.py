"""The fold over a course: definitions decide in turn, and people go over from one to the next.

Whoever goes over takes along what the new definition would remember: it is fed with everything that
happened, stages that were left before under the names they have now. Where the stage keeps its key,
the time in it goes on; a deadline that has passed by then falls due at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.deadlines import due
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.facts import Facts, Touch
from clm_stage_engine.core.fold import (
    Change,
    State,
    Step,
    advance,
    enter,
    lapse,
    meaning,
    observed,
)
from clm_stage_engine.core.leaf import Moment
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.resuming import resume
from clm_stage_engine.core.selector import LEFT
from clm_stage_engine.core.starting import AT_FIRST, Base, Start

MAPPED: Final = "mapped"
"""The name of the move by which a publication puts people into another stage."""


class Ruled(Struct, frozen=True, gc=False):
    """A change, and the definition that decided it.

    Attributes:
        lifecycle: the definition.
        change: as it decided.
        target: the stage that was entered; where the change led to another definition, its name
            for `change.target`.
    """

    lifecycle: Lifecycle
    change: Change
    target: str


class Outcome(Struct, frozen=True, gc=False):
    """What became of somebody.

    Attributes:
        state: where they stand; None without touchpoints.
        digest: how they were folded; see `Course.digest`.
        lifecycle: the definition that decides what comes next.
        changes: all that led there, oldest first.
    """

    state: State | None
    digest: str
    lifecycle: Lifecycle
    changes: Sequence[Ruled]

    @property
    def timeline(self) -> list[Change]:
        """The changes as they are told."""
        return [
            it.change if it.change.target == it.target else replace(it.change, target=it.target)
            for it in self.changes
        ]


def follow(
    course: Course, touches: Sequence[Touch], until: int, start: Start = AT_FIRST
) -> Outcome:
    """Fold a timeline through a course.

    Args:
        course: the definitions.
        touches: the profile's touchpoints, as `fold.order` gives them; those from before the start
            are passed over.
        until: deadlines due at or before this instant have fired at the end, and eras that begin
            by then have begun, µs.
        start: where to go on.
    """
    begun = start.beginning
    only = course.only
    if only is not None:
        step = resume(only, begun, touches, until)
        ruled = [Ruled(only, it, it.target) for it in step.changes]
        return Outcome(step.state, only.digest, only, ruled)
    rest = [it for it in touches if it.time >= begun.cut]
    if begun.state is not None:
        walk = _Walk(course, start.number, begun.state, crossed=start.crossed, base=start.base)
    elif rest:
        walk = _Walk.first(course, rest.pop(0))
    else:
        return Outcome(None, course.lifecycle.digest, course.lifecycle, ())
    for touch in rest:
        walk.meet(touch)
    walk.reach(until)
    digest = course.digest(walk.number, crossed=walk.crossed)
    return Outcome(walk.state, digest, walk.lifecycle, walk.changes)


class _Passage(Struct, frozen=True, gc=False):
    """A stage that was left for another, under the names that the present definition has."""

    at: int
    source: str
    target: str


class _Walk:
    """One person on the way through a course.

    Attributes:
        number: the era they are in.
        crossed: they began in another one.
        state: where they stand.
        changes: all that led there.
    """

    def __init__(
        self, course: Course, number: int, state: State, *, crossed: bool, base: Base | None
    ) -> None:
        self._course = course
        self._base = base
        self._trail: list[Touch | _Passage] = []
        self.number = number
        self.crossed = crossed
        self.state = state
        self.changes: list[Ruled] = []

    @classmethod
    def first(cls, course: Course, touch: Touch) -> Self:
        """Begin with somebody's first touchpoint."""
        number = course.began(touch.time)
        step = advance(course.eras[number].lifecycle, None, touch)
        walk = cls(course, number, step.state, crossed=False, base=None)
        walk._trail.append(touch)
        walk._take(step)
        return walk

    @property
    def lifecycle(self) -> Lifecycle:
        """The definition that decides."""
        return self._course.eras[self.number].lifecycle

    def meet(self, touch: Touch) -> None:
        """Fold a touchpoint, after all that falls due before."""
        self.reach(touch.time)
        self._trail.append(touch)
        self._take(advance(self.lifecycle, self.state, touch))

    def reach(self, until: int) -> None:
        """Let time pass: fire deadlines, and go over where an era begins, up to an instant."""
        for number in range(self.number + 1, len(self._course.eras)):
            era = self._course.eras[number]
            if era.policy == "map" and era.since <= until:
                self._lapse(era.since - 1)
                self._go_over(number, era.since)
        self._lapse(until)

    def _lapse(self, until: int) -> None:
        while self.state.due is not None and self.state.due <= until:
            self._take(lapse(self.lifecycle, self.state, self.state.due))

    def _take(self, step: Step[State]) -> None:
        """Take note of what a definition decided, and go over where that drains it."""
        self.state = step.state
        for change in step.changes:
            number = self._course.drained(self.number, change.at)
            target = change.target
            if change.source is not None:
                self._trail.append(_Passage(change.at, change.source, target))
            if number is not None:
                target = self._course.eras[number].stages[target]
            self.changes.append(Ruled(self.lifecycle, change, target))
            if number is not None:
                self._cross(number, target)

    def _go_over(self, number: int, at: int) -> None:
        """Go over at the beginning of an era."""
        before = self.state
        stage = self._course.eras[number].stages[before.stage]
        renamed = stage != before.stage
        since = at if renamed else before.stage_since
        self.state = replace(before, stage_since=since, frontier=(at, ""))
        self._cross(number, stage)
        moment = Moment(at, self.state.stage_since, self.state.facts, None)
        if renamed:
            change = Change(at, before.stage, stage, MAPPED, None, "mapped", moment)
            self.changes.append(Ruled(self.lifecycle, change, stage))
            return
        self._catch_up(moment)

    def _catch_up(self, moment: Moment) -> None:
        """Take the first move that time alone would have brought about by now."""
        state, lifecycle = self.state, self.lifecycle
        for wait in lifecycle.nodes[state.stage].waits:
            if wait.move.when.holds(moment):
                move, at = wait.move, moment.now
                change = Change(at, move.source, move.target, move.name, None, "deadline", moment)
                entered = enter(lifecycle, move, at, state.frontier, state.first_seen, state.facts)
                self._take(Step(entered, (change,)))
                return

    def _cross(self, number: int, stage: str) -> None:
        """Stand in a stage of another era, with what its definition remembers."""
        era, state = self._course.eras[number], self.state
        self.number, self.crossed = number, True
        self._trail = [_renamed(it, era.stages) for it in self._trail]
        facts, since = era.lifecycle.blank, state.stage_since
        if self._base is not None:
            facts, complete = self._base.carried(era.lifecycle)
            since = since if complete else max(since, self._base.cut)
        facts = remembered(era.lifecycle, facts, self._trail)
        moment = Moment(state.frontier[0], since, facts, None)
        wakes = due(era.lifecycle.nodes[stage], moment)
        self.state = replace(state, stage=stage, stage_since=since, due=wakes, facts=facts)


def _renamed(it: Touch | _Passage, stages: Mapping[str, str]) -> Touch | _Passage:
    if isinstance(it, Touch):
        return it
    return _Passage(it.at, stages.get(it.source, it.source), stages.get(it.target, it.target))


def remembered(lifecycle: Lifecycle, facts: Facts, trail: Iterable[Touch | _Passage]) -> Facts:
    """Give what a definition remembers after what happened, in whatever stages that was."""
    anywhere = lifecycle.nodes[lifecycle.start]
    for it in trail:
        if isinstance(it, Touch):
            found = meaning(anywhere, it)
            facts = facts if found is None else observed(facts, found.feeds, it)
        elif it.source != it.target and it.source in lifecycle.nodes:
            leaves = lifecycle.nodes[it.source].leaves
            facts = observed(facts, leaves, Touch(it.at, "", LEFT, it.source, b""))
    return facts
