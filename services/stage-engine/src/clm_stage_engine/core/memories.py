"""Watches: how a profile's memory of some touchpoints grows, one bounded memory per slot.

A condition states what it needs as data (`Need`); `watch` makes of it what is applied to each
touchpoint. Bounds, per slot: `MOST` times or amounts inside a window, `MOST` different values, one
time per step of a sequence; everything else is a single number. Where more than `MOST` amounts or
scores lie inside a window, the newest count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from msgspec import Struct

from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import Memory, Tally, Touch
from clm_stage_engine.core.reading import Path, digest
from clm_stage_engine.core.selector import Selector, Takes, Values, takes, values_of

MOST: Final = 1_000
"""Times, amounts or values remembered in one slot."""

NEVER: Final = -(1 << 62)
"""The time of what has not happened."""


class Watch(Struct, frozen=True):
    """How a memory grows.

    Attributes:
        takes: which touchpoints are remembered; the caller asks for those of the right type and
            event, so this may say no to some of them.
    """

    takes: Takes

    def blank(self) -> Memory:
        """Give the memory of what never happened."""
        return Memory()

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Remember one more touchpoint; it is not older than those remembered."""
        raise NotImplementedError


class Need(Struct, frozen=True):
    """A fact that a condition needs, as data."""

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that change it."""
        raise NotImplementedError

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        raise NotImplementedError


class Summed(Struct, frozen=True):
    """A watched property: whether its grand total matters, and its longest window.

    Attributes:
        read: gives the amount in a touchpoint's body, in millionths, or None.
        total: a condition sums without a window.
        window: the longest window, µs; None where no condition has one.
    """

    read: Callable[[bytes], int | None]
    total: bool
    window: int | None


class Tallied(Watch, frozen=True):
    """How often and when something happened, and the amounts of some of its properties.

    Attributes:
        total: a condition counts without a window.
        keep: how many of the newest times conditions need.
        sums: the watched properties.
        resets: touchpoints after which counting starts anew.
    """

    total: bool
    keep: int
    sums: tuple[Summed, ...]
    resets: Takes | None = None
    checked: bool = True

    def blank(self) -> Memory:
        """Give the memory of what never happened."""
        return Memory(tallies=(Tally(),) * len(self.sums))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Count it, keep its time, add its amounts."""
        if self.checked:
            if self.resets is not None and self.resets(touch):
                return self.blank()
            if not self.takes(touch):
                return memory
        times = memory.times
        if self.keep:
            times = (*times, touch.time)[-self.keep :]
        tallies = memory.tallies
        if tallies:
            tallies = tuple(
                [_add(tally, it, touch) for tally, it in zip(tallies, self.sums, strict=True)]
            )
        return Memory(memory.total + 1 if self.total else 0, times, tallies)


def _add(tally: Tally, summed: Summed, touch: Touch) -> Tally:
    amount = summed.read(touch.body)
    if amount is None:
        return tally
    total = Decimal(int(tally.total) + amount) if summed.total else tally.total
    if summed.window is None:
        return Tally(total)
    return _append(tally, touch.time, amount, window=summed.window, total=total)


def _append(tally: Tally, time: int, amount: int, *, window: int, total: Decimal) -> Tally:
    """Add a time and an amount, and forget those that left the window."""
    times, amounts = (*tally.times, time), (*tally.amounts, amount)
    gone = max(bisect_right(times, time - window), len(times) - MOST)
    return Tally(total, times[gone:], amounts[gone:])


class Different(Watch, frozen=True):
    """The last time of each of the `keep` newest different values.

    Memory: one tally, `amounts` the values' digests, `times` the last time of each.
    """

    read: Values
    keep: int
    window: int | None

    def blank(self) -> Memory:
        """Give the memory of what never happened."""
        return Memory(tallies=(Tally(),))

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Remember each of its values as the newest."""
        if not self.takes(touch):
            return memory
        tally = memory.tallies[0]
        known = dict(zip(tally.amounts, tally.times, strict=True))
        for value in self.read(touch):
            if value is not None:
                name = digest(value)
                known.pop(name, None)
                known[name] = touch.time
        if self.window is not None:
            known = {name: at for name, at in known.items() if at > touch.time - self.window}
        newest = list(known.items())[-self.keep :]
        times, names = tuple([it[1] for it in newest]), tuple([it[0] for it in newest])
        return Memory(tallies=(Tally(times=times, amounts=names),))


class DifferentNeed(Need, frozen=True):
    """The different values at a path of some touchpoints."""

    of: tuple[Selector, ...]
    path: Path
    keep: int
    window: int | None

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that change it."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        read = values_of(self.path, channels)
        return Different(takes(self.of, channels), read, self.keep, self.window)


class First(Watch, frozen=True):
    """When something happened first. Memory: `times` has that one time."""

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Keep the first."""
        if memory.times or not self.takes(touch):
            return memory
        return Memory(times=(touch.time,))


class FirstNeed(Need, frozen=True):
    """The time of the first of some touchpoints."""

    of: tuple[Selector, ...]

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that change it."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        return First(takes(self.of, channels))


class Spread(Watch, frozen=True):
    """Enough times to know whether each of some successive periods had `count` of them.

    Memory: `times`. A time is left out once no period could have `count` with it and fewer without:
    all runs of `count` + 2 remembered times around it span no more than a period. So dense times
    thin out, and at most 3 (`count` + 2)(`periods` + 1) + `count` remain.
    """

    count: int
    every: int
    periods: int

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Add its time, and leave out what decides nothing any more."""
        if not self.takes(touch):
            return memory
        times = (*memory.times, touch.time)
        times = times[bisect_right(times, touch.time - self.every * self.periods) :]
        place = len(times) - 1 - self.count
        if place > 0 and self._idle(times, place):
            times = (*times[:place], *times[place + 1 :])
        return Memory(times=times)

    def _idle(self, times: tuple[int, ...], place: int) -> bool:
        for start in range(max(0, place - self.count), place):
            if times[start + self.count + 1] - times[start] > self.every:
                return False
        return place >= self.count


class SpreadNeed(Need, frozen=True):
    """Whether each of some successive periods had enough of some touchpoints."""

    of: tuple[Selector, ...]
    count: int
    every: int
    periods: int

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that change it."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        return Spread(takes(self.of, channels), self.count, self.every, self.periods)
