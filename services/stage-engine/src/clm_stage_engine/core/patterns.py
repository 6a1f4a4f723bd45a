"""Conditions about the order of touchpoints.

A pattern (`Steps`, `Pause`) is completed by a touchpoint; its completions are counted like events.
"""

from __future__ import annotations

from typing import Self

from msgspec.structs import replace

from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import Memory, Tally, Touch
from clm_stage_engine.core.leaf import Layout, Leaf, Moment, named, span
from clm_stage_engine.core.memories import NEVER, Need, Watch
from clm_stage_engine.core.selector import Selector, Takes, takes


class _Completed(Watch, frozen=True):
    """Completions of a pattern.

    Memory: `total` completions, `times` the newest `keep` of them, one tally: `times` the progress,
    `amounts` 1 where the newest touchpoint of the last step completed it, else 0.
    """

    keep: int

    def _next(
        self, memory: Memory, touch: Touch, progress: tuple[int, ...], *, done: bool
    ) -> Memory:
        times, total = memory.times, memory.total + done
        if done and self.keep:
            times = (*times, touch.time)[-self.keep :]
        return Memory(total, times, (Tally(times=progress, amounts=(int(done),)),))


class Steps(_Completed, frozen=True):
    """One touchpoint of each step after the other, and nothing of `without` between.

    The whole lasts less than `within`. What completed it starts anew. The progress is, per step
    but the last, the latest time at which what has come so far may have begun.
    """

    steps: tuple[Takes, ...]
    without: Takes | None
    within: int | None

    def blank(self) -> Memory:
        """Give the memory of what never began."""
        return Memory(tallies=(Tally(times=(NEVER,) * (len(self.steps) - 1), amounts=(0,)),))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Take a touchpoint for a step, or for what must not come between."""
        nothing = (NEVER,) * (len(self.steps) - 1)
        if self.without is not None and self.without(touch):
            return self._next(memory, touch, nothing, done=False)
        began = memory.tallies[0].times
        progress, last, taken = list(began), len(self.steps) - 1, False
        for number in range(last, -1, -1):
            if not self.steps[number](touch):
                continue
            taken, start = True, touch.time if number == 0 else began[number - 1]
            fresh = start != NEVER and (self.within is None or touch.time - start < self.within)
            if number == last and fresh:
                return self._next(memory, touch, nothing, done=True)
            if number < last and fresh:
                progress[number] = max(progress[number], start)
        return self._next(memory, touch, tuple(progress), done=False) if taken else memory


class Pause(_Completed, frozen=True):
    """A touchpoint after a long pause of its kind. The progress is the time of the last one."""

    gap: int

    def blank(self) -> Memory:
        """Give the memory of what never happened."""
        return Memory(tallies=(Tally(times=(NEVER,), amounts=(0,)),))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Compare with the last one."""
        if not self.takes(touch):
            return memory
        last = memory.tallies[0].times[0]
        done = last != NEVER and touch.time - last >= self.gap
        return self._next(memory, touch, (touch.time,), done=done)


class PatternNeed(Need, frozen=True):
    """Completions of a pattern."""

    keep: int = 0

    @property
    def final(self) -> tuple[Selector, ...]:
        """The touchpoints that can complete it."""
        raise NotImplementedError

    def told(self) -> str:
        """Say it in words."""
        raise NotImplementedError


class StepsNeed(PatternNeed, frozen=True):
    """A sequence.

    Attributes:
        steps: what comes after what.
        without: what must not come between.
        within: how long the whole may take: less than this, µs.
    """

    steps: tuple[tuple[Selector, ...], ...] = ()
    without: tuple[Selector, ...] = ()
    within: int | None = None

    @property
    def final(self) -> tuple[Selector, ...]:
        """The last step."""
        return self.steps[-1]

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Every step, and what must not come between."""
        return tuple(it for step in (*self.steps, self.without) for it in step)

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        steps = tuple(takes(it, channels) for it in self.steps)
        without = takes(self.without, channels) if self.without else None
        return Steps(takes(self.selectors, channels), self.keep, steps, without, self.within)

    def told(self) -> str:
        """Say it in words."""
        window = "" if self.within is None else f" within {span(self.within)}"
        without = f" without {named(self.without)}" if self.without else ""
        return f"{', then '.join(map(named, self.steps))}{window}{without}"


class PauseNeed(PatternNeed, frozen=True):
    """A return after a pause of at least `gap` µs."""

    of: tuple[Selector, ...] = ()
    gap: int = 0

    @property
    def final(self) -> tuple[Selector, ...]:
        """What came back."""
        return self.of

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """What came back."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        return Pause(takes(self.of, channels), self.keep, self.gap)

    def told(self) -> str:
        """Say it in words."""
        return f"{named(self.of)} again after {span(self.gap)} without"


class Completes(Leaf, frozen=True):
    """This touchpoint completes a pattern."""

    pattern: PatternNeed
    slot: int = -1
    takes: Takes | None = None

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What can complete it."""
        return self.pattern.final

    def holds(self, at: Moment) -> bool:
        """Tell whether the touchpoint is of the last step and found the others done."""
        touch = at.touch
        if touch is None or self.takes is None or not self.takes(touch):
            return False
        return at.facts[self.slot].tallies[0].amounts[0] == 1

    def wants(self) -> tuple[Need, ...]:
        """Need the progress."""
        return (self.pattern,)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slot."""
        taken = takes(self.pattern.final, layout.channels)
        return replace(self, slot=layout.slot(self.pattern), takes=taken)

    def may_hold(self, type_: str | None, event: str | None) -> bool:
        """Tell whether such a touchpoint could complete it."""
        return any(it.may_take(type_, event) for it in self.mentions)

    @property
    def lasts(self) -> bool:
        """It is over at once."""
        return False

    def told(self) -> str:
        """Say it in words."""
        return self.pattern.told()
