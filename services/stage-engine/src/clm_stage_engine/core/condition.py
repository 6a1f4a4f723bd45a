"""Conditions: what must hold for a move, as data that can answer for itself.

Every condition tells whether it `holds` at a moment. A leaf also tells when it next becomes true by
time alone (`due`), so that a deadline can be set for exactly that instant; `wants` says which facts
it needs and `bound` gives it their slots (see `lifecycle`). The kinds stand in `counting`,
`timing`, `patterns`, `knowing`, `scoring` and `localtime`; here are the touchpoint itself, and
what puts conditions together.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.counting import once
from clm_stage_engine.core.leaf import Layout, Leaf, Moment, Want, named
from clm_stage_engine.core.selector import Selector, Takes, subset, takes


class Event(Leaf, frozen=True):
    """The touchpoint that happens now is one of these; with `nth`, their nth ever."""

    of: tuple[Selector, ...]
    nth: int | None = None
    slots: tuple[int, ...] = ()
    takes: Takes | None = None

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What it may be."""
        return self.of

    def holds(self, at: Moment) -> bool:
        """Tell whether this touchpoint is it."""
        touch, taken = at.touch, self.takes
        if touch is None or taken is None or not taken(touch):
            return False
        return self.nth is None or sum([at.facts[it].total for it in self.slots]) == self.nth

    def wants(self) -> tuple[Want, ...]:
        """Need the totals, for `nth` alone."""
        return () if self.nth is None else tuple(Want(it, total=True) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself ready to judge touchpoints."""
        slots = tuple(map(layout.slot, self.wants()))
        return replace(self, slots=slots, takes=takes(self.of, layout.channels))

    def may_hold(self, type_: str | None, event: str | None) -> bool:
        """Tell whether such a touchpoint could be it."""
        return any(it.may_take(type_, event) for it in self.of)

    @property
    def lasts(self) -> bool:
        """It is over at once."""
        return False

    def implies(self, other: Leaf) -> bool:
        """Know that it is part of a wider choice, and that it counts."""
        if isinstance(other, Event):
            return self == other or (other.nth is None and subset(self.of, other.of))
        return once(self.of, other)

    def told(self) -> str:
        """Say it in words."""
        return named(self.of) if self.nth is None else f"{named(self.of)} number {self.nth}"


class AllOf(Struct, frozen=True):
    """Every part holds."""

    parts: tuple[Condition, ...]

    def holds(self, at: Moment) -> bool:
        """Tell whether every part holds."""
        for part in self.parts:  # noqa: SIM110 - a loop is half the cost of a generator
            if not part.holds(at):
                return False
        return True


class AnyOf(Struct, frozen=True):
    """At least one part holds."""

    parts: tuple[Condition, ...]

    def holds(self, at: Moment) -> bool:
        """Tell whether a part holds."""
        for part in self.parts:  # noqa: SIM110 - a loop is half the cost of a generator
            if part.holds(at):
                return True
        return False


class Not(Struct, frozen=True):
    """The part does not hold. In a compiled move it stands before a touchpoint only."""

    part: Condition

    def holds(self, at: Moment) -> bool:
        """Tell whether the part does not hold."""
        return not self.part.holds(at)


Condition = Leaf | AllOf | AnyOf | Not
