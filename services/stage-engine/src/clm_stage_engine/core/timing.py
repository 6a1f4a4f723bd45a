"""Conditions about the passing of time: silence, the age of a stage, time since an event."""

from __future__ import annotations

from typing import Self

from msgspec.structs import replace

from clm_stage_engine.core.leaf import (
    AT_LEAST,
    AT_MOST,
    OPPOSITE,
    OPS,
    Layout,
    Leaf,
    Moment,
    Undecidable,
    Want,
    flip,
    named,
    passed,
    span,
)
from clm_stage_engine.core.memories import FirstNeed, Need
from clm_stage_engine.core.predicate import Op
from clm_stage_engine.core.selector import Selector, subset


class Silence(Leaf, frozen=True):
    """None of these touchpoints for so long (µs), measured from the last or the stage's entry."""

    of: tuple[Selector, ...]
    duration: int
    slots: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What does not happen."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Tell whether it has been quiet for long enough."""
        return at.now >= self._end(at)

    def due(self, at: Moment) -> int | None:
        """Give the instant at which it has been quiet for long enough."""
        end = self._end(at)
        return end if end > at.now else None

    def _end(self, at: Moment) -> int:
        start = at.since
        for slot in self.slots:
            times = at.facts[slot].times
            if times and times[-1] > start:
                start = times[-1]
        return start + self.duration

    def wants(self) -> tuple[Want, ...]:
        """Need the last time of each."""
        return tuple(Want(it, keep=1) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slots."""
        return replace(self, slots=tuple(map(layout.slot, self.wants())))

    def opposite(self) -> Leaf:
        """Refuse."""
        raise Undecidable(
            "a silence cannot be negated; say that it happened: "
            "{count: EVENT, gte: 1, within: DURATION}"
        )

    def may_hold(self, type_: str | None, event: str | None) -> bool:
        """Know that what happens now breaks the silence."""
        return not any(it.takes_all(type_, event) for it in self.of)

    @property
    def waits(self) -> bool:
        """Silence is noticed by time."""
        return True

    @property
    def recurs(self) -> bool:
        """It is measured from the stage's entry."""
        return True

    def implies(self, other: Leaf) -> bool:
        """Know that it covers shorter silences, and the age of the stage."""
        if isinstance(other, Silence):
            return self.duration >= other.duration and subset(other.of, self.of)
        if isinstance(other, Dwell):
            return self.duration >= other.duration
        return self == other

    def told(self) -> str:
        """Say it in words."""
        return f"no {named(self.of)} for {span(self.duration)}"

    def value(self, at: Moment) -> str:
        """Give how long it has been quiet."""
        return passed(at.now - self._end(at) + self.duration)


class Dwell(Leaf, frozen=True):
    """The profile has been in its stage for so long (µs)."""

    duration: int

    def holds(self, at: Moment) -> bool:
        """Tell whether the stage is old enough."""
        return at.now >= at.since + self.duration

    def due(self, at: Moment) -> int | None:
        """Give the instant at which the stage is old enough."""
        end = at.since + self.duration
        return end if end > at.now else None

    def opposite(self) -> Leaf:
        """Refuse."""
        raise Undecidable(
            "in_stage cannot be negated: nothing happens when a stage is still young; "
            "state what must happen instead"
        )

    @property
    def waits(self) -> bool:
        """Age comes by time."""
        return True

    @property
    def recurs(self) -> bool:
        """It is measured from the stage's entry."""
        return True

    def implies(self, other: Leaf) -> bool:
        """Know that it covers younger stages."""
        if isinstance(other, Dwell):
            return self.duration >= other.duration
        return self == other

    def told(self) -> str:
        """Say it in words."""
        return f"{span(self.duration)} in the stage"

    def value(self, at: Moment) -> str:
        """Give how old the stage is."""
        return passed(at.now - at.since)


class Since(Leaf, frozen=True):
    """The last (or first) of these touchpoints was so long (µs) ago; it must have happened."""

    of: tuple[Selector, ...]
    op: Op
    than: int
    first: bool = False
    denied: bool = False
    slots: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What the time is measured from."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Compare the time passed."""
        start = self._start(at)
        passed = start is not None and OPS[self.op](at.now - start, self.than)
        return passed != self.denied

    def _start(self, at: Moment) -> int | None:
        return max([time for slot in self.slots for time in at.facts[slot].times], default=None)

    def due(self, at: Moment) -> int | None:
        """Look where the time is reached, and just past it."""
        start = self._start(at)
        return None if start is None else flip(self, at, (start + self.than, start + self.than + 1))

    def wants(self) -> tuple[Want | Need, ...]:
        """Need one time."""
        if self.first:
            return (FirstNeed(self.of),)
        return tuple(Want(it, keep=1) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slots."""
        return replace(self, slots=tuple(map(layout.slot, self.wants())))

    def opposite(self) -> Leaf:
        """Deny it, so that what never happened counts."""
        return replace(self, denied=not self.denied)

    @property
    def waits(self) -> bool:
        """Time alone may reach it."""
        return True

    @property
    def lasts(self) -> bool:
        """Once long ago, always long ago."""
        return (self.op in {"gt", "gte", "ne"}) != self.denied

    def implies(self, other: Leaf) -> bool:
        """Know that longer ago implies less long ago."""
        if self == other:
            return True
        if not isinstance(other, Since) or self.denied:
            return False
        if other.denied:
            other = replace(other, op=OPPOSITE[other.op], denied=False)
        if replace(other, op=self.op, than=self.than) != self:
            return False
        if self.op in AT_LEAST and other.op in AT_LEAST:
            return self.than + AT_LEAST[self.op] >= other.than + AT_LEAST[other.op]
        if self.op in AT_MOST and other.op in AT_MOST:
            return self.than + AT_MOST[self.op] <= other.than + AT_MOST[other.op]
        return False

    def told(self) -> str:
        """Say it in words."""
        which = "first" if self.first else "last"
        what = f"time since the {which} {named(self.of)} {self.op} {span(self.than)}"
        return f"not ({what})" if self.denied else what

    def value(self, at: Moment) -> str | None:
        """Give the time passed; None where it never happened."""
        start = self._start(at)
        return None if start is None else passed(at.now - start)
