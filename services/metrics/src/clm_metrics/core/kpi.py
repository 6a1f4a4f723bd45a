"""What a KPI is, and how its points are made of the figures that the ledger keeps.

A definition names a measure of the ledger and how it is read: as a `count` (what happened within
each period), a `level` (how many there were at the end of each period) or a `share` (of the people
who first appeared in each period, the part that reached a stage).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Final, Literal, assert_never

from msgspec import Struct
from pydantic import Field, model_validator

from clm_common.catalog import Definition, Strict
from clm_metrics.core.calendar import Period
from clm_metrics.core.funnel import Share, shares
from clm_metrics.core.ledger import ENTRIES, PRESENT, REACHED

PREVIOUS: Final = "previous"

_FITTING: Final = {
    "count": (ENTRIES, REACHED),
    "level": (PRESENT,),
    "share": (REACHED,),
}

Number = int | float | None
Kind = Literal["count", "level", "share"]


class Parameter(Strict):
    """One thing a caller may ask for.

    Attributes:
        name: its name in the query.
        description: what it does, in one line.
        default: what is taken when it is not given; without one it is optional or computed.
        choices: the only values there are; empty where it is free.
    """

    name: Literal["lifecycle", "stage", "from", "to", "grain", "base"]
    description: str
    default: str | None = None
    choices: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_is_a_choice(self) -> Parameter:
        if self.choices and self.default not in {None, *self.choices}:
            raise ValueError(f"the default {self.default!r} is none of the choices")
        return self


class Figure(Strict):
    """Which figures it is made of, and how.

    Attributes:
        kind: how they are read.
        measure: a measure of `core.ledger`.
    """

    kind: Kind
    measure: Literal["entries", "present", "reached"]

    @model_validator(mode="after")
    def _fits(self) -> Figure:
        if self.measure not in _FITTING[self.kind]:
            fitting = " or ".join(_FITTING[self.kind])
            raise ValueError(f"a {self.kind} is made of {fitting}, not of {self.measure}")
        return self


class Kpi(Definition):
    """One KPI of the catalogue (`kpis/<key>.yaml`).

    Attributes:
        unit: what its numbers count.
        formula: how it is computed, in words.
        figure: what it is made of.
        parameters: what a caller may ask for.
    """

    unit: Literal["people", "entries", "fraction"]
    formula: Annotated[str, Field(min_length=1)]
    figure: Figure
    parameters: tuple[Parameter, ...]

    @model_validator(mode="after")
    def _named(self) -> Kpi:
        if not self.title or not self.description:
            raise ValueError("a KPI needs a title and a description: people read the catalogue")
        return self

    @model_validator(mode="after")
    def _can_be_asked_plainly(self) -> Kpi:
        if not self.default("grain"):
            raise ValueError("the parameter 'grain' needs a default")
        return self

    def default(self, name: str) -> str:
        """Give the default of a parameter; empty when it has none."""
        found = (each.default for each in self.parameters if each.name == name)
        return next(found, None) or ""


class Kept(Struct, frozen=True):
    """What the ledger keeps of one measure, summed up for a range of periods.

    Attributes:
        within: per stage, per first day of a period, the sum of the period's days; if not 0.
        before: per stage, the sum of all days before the range; if not 0.
    """

    within: Mapping[str, Mapping[int, int]]
    before: Mapping[str, int]


class State(StrEnum):
    """How far a point can be trusted to stay as it is (late events aside)."""

    COMPLETE = "complete"
    RUNNING = "running"  # the period is not over yet
    CUT = "cut"  # the asked range leaves out a part of the period
    FUTURE = "future"  # the period has not begun


class Point(Struct, frozen=True):
    """The figure of one period.

    Attributes:
        period: the days it is about.
        state: whether it is final.
        value: the figure; None in the future and where a share has no denominator.
        share: the counts behind a share.
    """

    period: Period
    state: State
    value: Number
    share: Share | None = None


class Series(Struct, frozen=True):
    """One stage's points, and the same figure over the whole range."""

    stage: str
    points: tuple[Point, ...]
    total: Number
    share: Share | None = None


def series(
    kind: Kind,
    order: Sequence[str],
    kept: Kept,
    *,
    periods: Sequence[Period],
    today: int,
    base: str | None = None,
) -> list[Series]:
    """Make the series of every stage out of kept sums.

    Args:
        kind: how the sums are read.
        order: the stages, in the order of the funnel.
        kept: the sums of the measure.
        periods: the periods asked for, in order.
        today: the local day it is now.
        base: for a share, `previous` or the first stage.
    """
    match kind:
        case "count":
            return [_count(stage, kept, periods, today) for stage in order]
        case "level":
            return [_level(stage, kept, periods, today) for stage in order]
        case "share":
            return _share(order, kept, periods, today, previous=base == PREVIOUS)
        case _:
            assert_never(kind)


def _count(stage: str, kept: Kept, periods: Sequence[Period], today: int) -> Series:
    sums = kept.within.get(stage, {})
    points = tuple(_point(period, today, sums.get(period.start, 0)) for period in periods)
    return Series(stage, points, total=sum(sums.values()))


def _level(stage: str, kept: Kept, periods: Sequence[Period], today: int) -> Series:
    sums = kept.within.get(stage, {})
    points: list[Point] = []
    level = kept.before.get(stage, 0)
    for period in periods:
        level += sums.get(period.start, 0)
        points.append(_point(period, today, level))
    return Series(stage, tuple(points), total=level)


def _share(
    order: Sequence[str], kept: Kept, periods: Sequence[Period], today: int, *, previous: bool
) -> list[Series]:
    reached = [
        {stage: kept.within.get(stage, {}).get(period.start, 0) for stage in order}
        for period in periods
    ]
    everyone = {stage: sum(people[stage] for people in reached) for stage in order}
    found = [shares(order, people, previous=previous) for people in reached]
    totals = shares(order, everyone, previous=previous)
    return [
        Series(
            stage,
            tuple(
                _point(period, today, of[index].value, of[index])
                for period, of in zip(periods, found, strict=True)
            ),
            total=totals[index].value,
            share=totals[index],
        )
        for index, stage in enumerate(order)
    ]


def _point(period: Period, today: int, value: Number, share: Share | None = None) -> Point:
    state = _state(period, today)
    if state is State.FUTURE:
        return Point(period, state, None)
    return Point(period, state, value, share)


def _state(period: Period, today: int) -> State:
    if period.start > today:
        return State.FUTURE
    if period.end > today:
        return State.RUNNING
    return State.CUT if period.cut else State.COMPLETE
