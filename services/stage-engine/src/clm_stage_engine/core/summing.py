"""Conditions that compare a sum of amounts, or a number of different values."""

from __future__ import annotations

from bisect import bisect_right
from typing import Self

from msgspec.structs import replace

from clm_stage_engine.core.counting import Compared
from clm_stage_engine.core.facts import MILLIONTHS
from clm_stage_engine.core.leaf import (
    AT_LEAST,
    Layout,
    Leaf,
    Moment,
    Want,
    named,
    slide,
)
from clm_stage_engine.core.memories import DifferentNeed, Need
from clm_stage_engine.core.reading import Path
from clm_stage_engine.core.selector import Selector


class Sum(Compared, frozen=True):
    """The amounts of a property of these touchpoints add up to so much, in millionths.

    `places` are the property's tallies in the slots.
    """

    path: Path = ()
    of: tuple[Selector, ...] = ()
    resets: tuple[Selector, ...] = ()
    slots: tuple[int, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What is summed, and what ends summing."""
        return (*self.of, *self.resets)

    def number(self, at: Moment) -> int:
        """Add up to now."""
        total = 0
        for slot, place in zip(self.slots, self.places, strict=True):
            tally = at.facts[slot].tallies[place]
            if self.within is None:
                total += int(tally.total)
            else:
                gone = bisect_right(tally.times, at.now - self.within)
                total += sum(tally.amounts[gone:])
        return total

    def due(self, at: Moment) -> int | None:
        """Give the instant at which the right amounts have left the window."""
        if self.within is None:
            return None
        places = zip(self.slots, self.places, strict=True)
        tallies = [at.facts[slot].tallies[place] for slot, place in places]
        if self.op in AT_LEAST and min([min(it.amounts, default=0) for it in tallies]) >= 0:
            return None
        entries = [it for tally in tallies for it in zip(tally.times, tally.amounts, strict=True)]
        return slide(entries, self.op, self.than, self.within, at.now)

    def wants(self) -> tuple[Want, ...]:
        """Need the total of the amounts, or those inside the window."""
        ever, path, window = self.within is None, self.path, self.within
        return tuple(Want(it, self.resets, total=ever, path=path, window=window) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself with the slots and places of its facts."""
        wants = self.wants()
        slots, places = tuple(map(layout.slot, wants)), tuple(map(layout.place, wants))
        return replace(self, slots=slots, places=places)

    @property
    def waits(self) -> bool:
        """An amount may be negative, so that a sum within a window may also rise."""
        return self.within is not None

    def implies(self, other: Leaf) -> bool:
        """Know that a tighter bound implies a wider one in the same window."""
        if not isinstance(other, Compared) or not self.same(other):
            return False
        return self == other or self.narrower(other, grows=False)

    def told(self) -> str:
        """Say it in words."""
        since = f" since {named(self.resets)}" if self.resets else ""
        bound = replace(self, than=0).compared().removesuffix("0")
        return f"sum of {'.'.join(self.path)} of {named(self.of)}{since}{bound}{_amount(self.than)}"

    def value(self, at: Moment) -> float:
        """Give the sum in units."""
        return self.number(at) / MILLIONTHS


def _amount(millionths: int) -> str:
    return f"{millionths / MILLIONTHS:g}"


class Distinct(Compared, frozen=True):
    """So many different values stood at a path of these touchpoints."""

    path: Path = ()
    of: tuple[Selector, ...] = ()
    slots: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What carries the values."""
        return self.of

    def number(self, at: Moment) -> int:
        """Count the values that stood there within the window."""
        times = at.facts[self.slots[0]].tallies[0].times
        if self.within is None:
            return len(times)
        return len(times) - bisect_right(times, at.now - self.within)

    def due(self, at: Moment) -> int | None:
        """Give the instant at which enough values have left the window."""
        if self.within is None or self.op in AT_LEAST:
            return None
        entries = [(time, 1) for time in at.facts[self.slots[0]].tallies[0].times]
        return slide(entries, self.op, self.than, self.within, at.now)

    def wants(self) -> tuple[Need, ...]:
        """Need as many of the newest values as decide the comparison."""
        return (DifferentNeed(self.of, self.path, self.keep, self.within),)

    def bound(self, layout: Layout) -> Self:
        """Give itself with the slot of its facts."""
        return replace(self, slots=tuple(map(layout.slot, self.wants())))

    @property
    def waits(self) -> bool:
        """A number within a window falls."""
        return self.within is not None and self.op not in AT_LEAST

    def told(self) -> str:
        """Say it in words."""
        return f"different {'.'.join(self.path)} of {named(self.of)}{self.compared()}"

    def value(self, at: Moment) -> int:
        """Give the number; no more than decides the comparison."""
        return self.number(at)
