"""Conditions about the rhythm of touchpoints: what happens in successive periods."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Self

from msgspec.structs import replace

from clm_stage_engine.core.leaf import Layout, Leaf, Moment, Want, flip, later, named, span
from clm_stage_engine.core.memories import Need, SpreadNeed
from clm_stage_engine.core.selector import Selector


class Regular(Leaf, frozen=True):
    """At least `count` of these touchpoints in each of the last `periods` periods of `every` µs."""

    of: tuple[Selector, ...]
    count: int
    every: int
    periods: int
    denied: bool = False
    slot: int = -1

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What should happen regularly."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Count in each period back from now."""
        return self._each(at) != self.denied

    def _each(self, at: Moment) -> bool:
        times, end = at.facts[self.slot].times, at.now
        after = bisect_right(times, end)
        for _ in range(self.periods):
            end -= self.every
            before = bisect_right(times, end)
            if after - before < self.count:
                return False
            after = before
        return True

    def due(self, at: Moment) -> int | None:
        """Go from one change of a period to the next; without a new touchpoint it ends soon."""
        times, was, now = at.facts[self.slot].times, self.holds(at), at.now
        if not times:
            return None
        while now - times[-1] < self.every:
            now = min(self._changes(times, now))
            held = self.holds(later(at, now))
            if held and not was:
                return now
            was = held
        return None

    def _changes(self, times: tuple[int, ...], now: int) -> Iterator[int]:
        """Give, per period, when its oldest time leaves it."""
        for number in range(1, self.periods + 1):
            place = bisect_right(times, now - number * self.every)
            if place < len(times):
                yield times[place] + number * self.every

    def wants(self) -> tuple[Need, ...]:
        """Need the times that decide it."""
        return (SpreadNeed(self.of, self.count, self.every, self.periods),)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slot."""
        return replace(self, slot=layout.slot(self.wants()[0]))

    def opposite(self) -> Leaf:
        """Deny it."""
        return replace(self, denied=not self.denied)

    @property
    def waits(self) -> bool:
        """Periods move on with time."""
        return True

    @property
    def lasts(self) -> bool:
        """Who does nothing does nothing regularly."""
        return self.denied

    def told(self) -> str:
        """Say it in words."""
        often = f"{self.count} in each of {self.periods} periods of {span(self.every)}"
        return f"{'not ' if self.denied else ''}at least {often}: {named(self.of)}"


class Stopped(Leaf, frozen=True):
    """None of these for `duration` µs, but at least `count` in the `before` µs before that."""

    of: tuple[Selector, ...]
    duration: int
    before: int
    count: int = 1
    denied: bool = False
    slots: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What may have stopped."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Look at the newest `count` times."""
        times, quiet = self._newest(at), at.now - self.duration
        stopped = len(times) == self.count and times[-1] <= quiet and times[0] > quiet - self.before
        return stopped != self.denied

    def _newest(self, at: Moment) -> list[int]:
        return sorted(time for slot in self.slots for time in at.facts[slot].times)[-self.count :]

    def due(self, at: Moment) -> int | None:
        """Look where the last is old enough, and where the first of them is too old."""
        times = self._newest(at)
        ends = (self.duration, self.duration + self.before)
        return flip(self, at, (time + end for time in times for end in ends))

    def wants(self) -> tuple[Want, ...]:
        """Need the newest times."""
        return tuple(Want(it, keep=self.count) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slots."""
        return replace(self, slots=tuple(map(layout.slot, self.wants())))

    def opposite(self) -> Leaf:
        """Deny it."""
        return replace(self, denied=not self.denied)

    @property
    def waits(self) -> bool:
        """It is noticed by time."""
        return True

    @property
    def lasts(self) -> bool:
        """It is forgotten in time."""
        return self.denied

    def told(self) -> str:
        """Say it in words."""
        often = f"at least {self.count} in the {span(self.before)} before"
        what = f"no {named(self.of)} for {span(self.duration)}, {often}"
        return f"not ({what})" if self.denied else what
