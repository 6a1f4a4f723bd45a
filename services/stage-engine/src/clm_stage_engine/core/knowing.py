"""Conditions about what is known of a customer: a trait, or what a first or last event carried.

What is remembered is the outcome of the test, not the value: a single bit.
"""

from __future__ import annotations

from typing import Self

from msgspec.structs import replace

from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import Memory, Touch
from clm_stage_engine.core.leaf import Layout, Leaf, Moment, asked, flip, named, span
from clm_stage_engine.core.memories import Need, Watch
from clm_stage_engine.core.predicate import Test, contradict
from clm_stage_engine.core.reading import Path
from clm_stage_engine.core.selector import Selector, Values, takes, values_of


class Outcome(Watch, frozen=True):
    """The outcome of a test at the first or last touchpoint that carries the value.

    Memory: `times` when that was, `total` 1 where the test held then.
    """

    reads: tuple[Values, ...]
    test: Test
    first: bool

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Test it where it carries the value; the first path that leads to one is read."""
        if (self.first and memory.times) or not self.takes(touch):
            return memory
        for read in self.reads:
            values = read(touch)
            if values:
                return Memory(int(self.test.holds(values)), (touch.time,))
        return memory


class OutcomeNeed(Need, frozen=True):
    """The outcome of a test of what a first or last touchpoint carried."""

    of: tuple[Selector, ...]
    paths: tuple[Path, ...]
    test: Test
    first: bool

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that change it."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        reads = tuple(values_of(path, channels) for path in self.paths)
        return Outcome(takes(self.of, channels), reads, self.test, self.first)


class Known(Leaf, frozen=True):
    """A test of what the first or last of these touchpoints carried at a path.

    What nothing carried, or (with `within`) nothing within the window, is tested as absent.

    Attributes:
        of: the touchpoints.
        paths: where the value stands; the first that leads to one is read.
        test: what is asked of it.
        first: the first touchpoint that carried it decides, not the last.
        within: how long ago it may have been, µs.
    """

    of: tuple[Selector, ...]
    paths: tuple[Path, ...]
    test: Test
    first: bool = False
    within: int | None = None
    slot: int = -1

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What carries the value."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Give the outcome that is remembered, or that of an absent value."""
        memory = at.facts[self.slot]
        if memory.times and (self.within is None or at.now - memory.times[0] < self.within):
            return memory.total == 1
        return self.test.holds(())

    def due(self, at: Moment) -> int | None:
        """Look where the value is forgotten."""
        times = at.facts[self.slot].times
        if self.within is None or not times:
            return None
        return flip(self, at, (times[0] + self.within,))

    def wants(self) -> tuple[Need, ...]:
        """Need one bit."""
        return (OutcomeNeed(self.of, self.paths, self.test, self.first),)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slot."""
        return replace(self, slot=layout.slot(self.wants()[0]))

    def opposite(self) -> Leaf:
        """Turn the test round."""
        return replace(self, test=self.test.opposite())

    @property
    def waits(self) -> bool:
        """A value may be forgotten."""
        return self.within is not None and self.test.holds(())

    @property
    def lasts(self) -> bool:
        """What is known stays known."""
        return self.within is None or self.test.holds(())

    def implies(self, other: Leaf) -> bool:
        """Know that a test implies another where it contradicts the opposite of it."""
        if not isinstance(other, Known) or replace(other, test=self.test) != self:
            return False
        return self == other or contradict((self.test, other.test.opposite()), self.paths[0])

    def told(self) -> str:
        """Say it in words."""
        window = "" if self.within is None else f" within {span(self.within)}"
        what, path = asked(self.test), ".".join(self.paths[0])
        if self.paths[0][0] == "traits":
            return f"{path} {what}"
        return f"{path} of the {'first' if self.first else 'last'} {named(self.of)}{window} {what}"
