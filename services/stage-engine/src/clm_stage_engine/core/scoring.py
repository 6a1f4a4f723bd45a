"""Conditions about a lead score: points for touchpoints that lose their worth with time.

With a half-life, what is there is halved in each of them. In the whole-number arithmetic used here
the score depends on the touchpoints alone, and one half-life halves exactly.
On a line, each touchpoint's points fall evenly to nothing over a duration.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final, Self

from msgspec.structs import replace

from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import MILLIONTHS, Memory, Tally, Touch
from clm_stage_engine.core.leaf import AT_LEAST, OPPOSITE, OPS, Layout, Leaf, Moment, named, span
from clm_stage_engine.core.memories import MOST, NEVER, Need, Watch
from clm_stage_engine.core.predicate import Op
from clm_stage_engine.core.selector import Selector, Takes, takes

_BITS: Final = 64
_FINE: Final = 40  # bits below a millionth of a point
_EXACT: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)
_LN2: Final = Decimal("0.6931471805599453094172321214581765680755001343602552")

Weights = tuple[tuple[Selector, int], ...]
"""Points per touchpoint, in millionths."""


@lru_cache(maxsize=4096)
def _factor(rest: int, half_life: int) -> int:
    """Give 2^(-rest / half_life) in 64 binary places; rest is less than a half-life."""
    if rest == 0:
        return 1 << _BITS
    power = _EXACT.multiply(_EXACT.divide(Decimal(-rest), Decimal(half_life)), _LN2)
    return int(_EXACT.multiply(_EXACT.exp(power), Decimal(1 << _BITS)))


def halved(points: int, passed: int, half_life: int) -> int:
    """Give what is left of points after a time (µs), rounded towards zero."""
    halves, rest = divmod(passed, half_life)
    if halves > 1 << 12:
        return 0
    left = (abs(points) * _factor(rest, half_life)) >> (_BITS + halves)
    return left if points >= 0 else -left


class Halving(Watch, frozen=True):
    """A score that halves. Memory: one tally, `total` the points (finely) at `times[0]`."""

    weights: tuple[tuple[Takes, int], ...]
    half_life: int

    def blank(self) -> Memory:
        """Give the memory of no points."""
        return Memory(tallies=(Tally(times=(NEVER,)),))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Let the points fade until now, then add."""
        points = _points(self.weights, touch)
        if not points:
            return memory
        tally = memory.tallies[0]
        left = halved(int(tally.total), touch.time - tally.times[0], self.half_life)
        total = left + (points << _FINE)
        return Memory(tallies=(Tally(Decimal(total), (touch.time,)),))


class Falling(Watch, frozen=True):
    """A score on a line. Memory: one tally, the points and times of the newest touchpoints."""

    weights: tuple[tuple[Takes, int], ...]
    duration: int

    def blank(self) -> Memory:
        """Give the memory of no points."""
        return Memory(tallies=(Tally(),))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Add points, and forget those that are worth nothing any more."""
        points = _points(self.weights, touch)
        if not points:
            return memory
        tally = memory.tallies[0]
        times, amounts = (*tally.times, touch.time), (*tally.amounts, points)
        gone = max(bisect_right(times, touch.time - self.duration), len(times) - MOST)
        return Memory(tallies=(Tally(times=times[gone:], amounts=amounts[gone:]),))


def _points(weights: tuple[tuple[Takes, int], ...], touch: Touch) -> int:
    return sum([points for taken, points in weights if taken(touch)])


class ScoreNeed(Need, frozen=True):
    """A score: with `linear`, `fades` is how long points last, else their half-life (µs)."""

    weights: Weights
    fades: int
    linear: bool

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """What gives points."""
        return tuple(it for it, _ in self.weights)

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        weights = tuple((takes((it,), channels), points) for it, points in self.weights)
        taken = takes(self.selectors, channels)
        if self.linear:
            return Falling(taken, weights, self.fades)
        return Halving(taken, weights, self.fades)


class Score(Leaf, frozen=True):
    """The score compares so with a number, in millionths of a point."""

    need: ScoreNeed
    op: Op
    than: int
    slot: int = -1

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What gives points."""
        return self.need.selectors

    def holds(self, at: Moment) -> bool:
        """Compare the score as it is now."""
        scaled = self.than * self.need.fades if self.need.linear else self.than << _FINE
        return OPS[self.op](self._scaled(at.facts[self.slot], at.now), scaled)

    def _scaled(self, memory: Memory, now: int) -> int:
        tally, fades = memory.tallies[0], self.need.fades
        if not self.need.linear:
            return halved(int(tally.total), now - tally.times[0], fades)
        pairs = zip(tally.times, tally.amounts, strict=True)
        return sum([points * (fades - now + time) for time, points in pairs if time > now - fades])

    def due(self, at: Moment) -> int | None:
        """Give the instant at which the score has fallen (or, below zero, risen) far enough.

        Between two instants at which points are used up it moves one way, so a search finds it.
        """
        tally, last = at.facts[self.slot].tallies[0], at.now
        if self.need.linear:
            ends = sorted(
                {it + self.need.fades for it in tally.times if it + self.need.fades > last}
            )
        else:
            ends = [tally.times[0] + self._spent(int(tally.total))] if tally.total else []
        for end in ends:
            found = self._between(at, last, end)
            if found is not None:
                return found
            last = end
        return None

    def _spent(self, points: int) -> int:
        """Give after how long nothing is left of points."""
        return self.need.fades * (abs(points).bit_length() + 1)

    def _between(self, at: Moment, start: int, end: int) -> int | None:
        memory = at.facts[self.slot]
        scaled = self.than * self.need.fades if self.need.linear else self.than << _FINE

        def holds(now: int) -> bool:
            return OPS[self.op](self._scaled(memory, now), scaled)

        if end <= start or holds(start) or not holds(end):
            return None
        return first_true(holds, start, end)

    def wants(self) -> tuple[Need, ...]:
        """Need the points."""
        return (self.need,)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slot."""
        return replace(self, slot=layout.slot(self.need))

    def opposite(self) -> Leaf:
        """Give the opposite comparison."""
        return replace(self, op=OPPOSITE[self.op])

    @property
    def waits(self) -> bool:
        """Points fade."""
        return self.op not in AT_LEAST or any(points < 0 for _, points in self.need.weights)

    @property
    def lasts(self) -> bool:
        """In the end no points are left."""
        return OPS[self.op](0, self.than)

    def implies(self, other: Leaf) -> bool:
        """Know that a higher score implies a lower one."""
        if self == other:
            return True
        if not isinstance(other, Score) or replace(other, op=self.op, than=self.than) != self:
            return False
        if self.op in AT_LEAST and other.op in AT_LEAST:
            tighter = self.op == "gt" or other.op == "gte"
            return self.than > other.than or (self.than == other.than and tighter)
        if self.op not in AT_LEAST and other.op not in AT_LEAST:
            tighter = self.op == "lt" or other.op == "lte"
            return self.than < other.than or (self.than == other.than and tighter)
        return False

    def told(self) -> str:
        """Say it in words."""
        fades = f"falling to nothing over {span(self.need.fades)}"
        if not self.need.linear:
            fades = f"halved every {span(self.need.fades)}"
        what = ", ".join(
            f"{points / MILLIONTHS:g} for {named((it,))}" for it, points in self.need.weights
        )
        return f"score ({what}; {fades}) {self.op} {self.than / MILLIONTHS:g}"

    def value(self, at: Moment) -> float:
        """Give the score in points."""
        scaled = self._scaled(at.facts[self.slot], at.now)
        unit = self.need.fades if self.need.linear else 1 << _FINE
        return scaled / unit / MILLIONTHS


def first_true(holds: Callable[[int], bool], start: int, end: int) -> int:
    """Give the first instant of (start, end] at which what stays true once true is true."""
    low, high = start, end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
