"""How conditions about time and order are written: silent, since, sequence, regularly, score ..."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from clm_common.catalog import Key, Strict
from clm_stage_engine.core import condition as c
from clm_stage_engine.core.counting import Count
from clm_stage_engine.core.localtime import DAYS, Local, Weekday
from clm_stage_engine.core.memories import MOST
from clm_stage_engine.core.patterns import (
    Completes,
    PatternNeed,
    PauseNeed,
    StepsNeed,
)
from clm_stage_engine.core.rhythm import Regular, Stopped
from clm_stage_engine.core.selector import LEFT, Selector
from clm_stage_engine.core.timing import Dwell, Silence, Since
from clm_stage_engine.language.where import (
    WhereWritten,
)
from clm_stage_engine.language.words import (
    Counted,
    Duration,
    Hours,
    Picks,
    bound_of,
    one_or_more,
    selected,
)


class Ago(Strict):
    """A time passed and what it is compared with."""

    gt: Duration | None = None
    gte: Duration | None = None
    lt: Duration | None = None
    lte: Duration | None = None


class SinceIs(Ago):
    """`since: NAME, gte: DURATION`: how long ago it was; what never happened does not count.

    Attributes:
        which: measured from the `last` of them, or the `first`.
        where: what a touchpoint must carry to be looked at.
    """

    since: Picks
    which: Literal["first", "last"] = "last"
    where: WhereWritten | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        bound_of(self)
        return self

    def core(self) -> c.Condition:
        """Give the condition."""
        op, than = bound_of(self)
        return Since(selected(self.since, self.where), op, than, first=self.which == "first")


class Often(Counted):
    """`times: {gte: N, within: DURATION}`: how often a pattern was completed."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        return self.bounded()


def _pattern(pattern: PatternNeed, times: Often | None) -> c.Condition:
    if times is None:
        return Completes(pattern)
    op, than = times.comparison()
    return Count(op, than, times.within, pattern.final, pattern)


class SequenceIs(Strict):
    """`sequence: [NAME, NAME], within: DURATION`: this touchpoint completes it.

    Attributes:
        sequence: the steps; each a name or a list of names.
        within: from the first step to the last it takes less than this.
        without: what must not happen between.
        times: it was completed so often, instead of just now. What completed it starts anew.
        where: what each step must carry.
    """

    sequence: Annotated[list[Picks], Field(min_length=2, max_length=10)]
    within: Duration | None = None
    without: Picks | None = None
    times: Often | None = None
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        steps = tuple(selected(it, self.where) for it in self.sequence)
        without = selected(self.without or [], None)
        return _pattern(StepsNeed(0, steps, without, self.within), self.times)

    @model_validator(mode="after")
    def _check(self) -> Self:
        steps = {it for step in self.sequence for it in selected(step, self.where)}
        if steps & {*selected(self.without or [], None)}:
            raise ValueError("without names a step of the sequence itself; leave it out")
        return self


class RestartedIs(Strict):
    """`restarted: NAME, after: DURATION`: it happens again after so long without.

    Attributes:
        times: it restarted so often, instead of just now.
        where: what a touchpoint must carry to be looked at.
    """

    restarted: Picks
    after: Duration
    times: Often | None = None
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        of = selected(self.restarted, self.where)
        return _pattern(PauseNeed(0, of, self.after), self.times)


class RegularlyIs(Strict):
    """`regularly: NAME, every: DURATION, periods: N`: at least `times` in each of the last periods.

    Attributes:
        every: how long a period is; the last one ends now.
        periods: how many.
        times: how often in each.
        where: what a touchpoint must carry to be counted.
    """

    regularly: Picks
    every: Duration
    periods: Annotated[int, Field(ge=2, le=100)]
    times: Annotated[int, Field(ge=1, le=100)] = 1
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        of = selected(self.regularly, self.where)
        return Regular(of, self.times, self.every, self.periods)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.periods * self.times > MOST:
            raise ValueError(f"periods times times is {MOST:,} at most: no more is remembered")
        return self


class StoppedIs(Strict):
    """`stopped: NAME, for: DURATION, before: DURATION`: none for so long, but some before.

    Attributes:
        silence: none for so long (written `for`).
        before: how long the time before that is.
        times: how often it happened then, at least.
        where: what a touchpoint must carry to be counted.
    """

    stopped: Picks
    silence: Annotated[Duration, Field(alias="for")]
    before: Duration
    times: Annotated[int, Field(ge=1, lt=MOST)] = 1
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        return Stopped(selected(self.stopped, self.where), self.silence, self.before, self.times)


class Silent(Strict):
    """`silent: DURATION, of: NAME`: none of these, since the last or the stage's entry.

    Attributes:
        where: what a touchpoint must carry to break the silence.
    """

    silent: Duration
    of: Picks
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        return Silence(selected(self.of, self.where), self.silent)


class InStage(Strict):
    """`in_stage: DURATION`: the profile has been in its stage for so long."""

    in_stage: Duration

    def core(self) -> c.Condition:
        """Give the condition."""
        return Dwell(self.in_stage)


class BeenIn(Strict):
    """`been_in: STAGE` or a list: the profile has been in it before, and left it.

    Attributes:
        within: how long ago it left, at most.
    """

    been_in: Annotated[
        list[Key],
        Field(min_length=1),
        BeforeValidator(one_or_more, json_schema_input_type=str | list[str]),
    ]
    within: Duration | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        stays = tuple(Selector(LEFT, it) for it in dict.fromkeys(self.been_in))
        return Count("gte", 1, self.within, stays)


def _week() -> list[Weekday]:
    return list(DAYS)


class Clock(Strict):
    """`{days: [mon, fri], hours: "09:00-17:00"}`: what the customer's clock shows."""

    days: Annotated[list[Weekday], Field(min_length=1)] = Field(default_factory=_week)
    hours: Hours = (0, 24 * 60)


class LocalIs(Strict):
    """`local: {days: [...], hours: ...}`: the weekday and the time of day where the customer is."""

    local: Clock

    def core(self) -> c.Condition:
        """Give the condition; the lifecycle's time zone is filled in later."""
        days = tuple(sorted({DAYS.index(it) for it in self.local.days}))
        start, end = self.local.hours
        return Local(days, start, end, "UTC")
