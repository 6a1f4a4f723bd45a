"""Conditions that compare a number: how often, how much, how many different.

Windows reach back from an instant: `within` W at t means the times in (t - W, t].
"""

from __future__ import annotations

from bisect import bisect_right
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
    Want,
    named,
    slide,
    span,
)
from clm_stage_engine.core.memories import Need
from clm_stage_engine.core.patterns import PatternNeed
from clm_stage_engine.core.predicate import Op
from clm_stage_engine.core.selector import LEFT, Selector, subset


class Compared(Leaf, frozen=True):
    """A number of something, ever or within a window (µs), compared with another."""

    op: Op
    than: int
    within: int | None = None

    def opposite(self) -> Leaf:
        """Give the opposite comparison."""
        return replace(self, op=OPPOSITE[self.op])

    def number(self, at: Moment) -> int:
        """Give the number that is compared."""
        raise NotImplementedError

    def holds(self, at: Moment) -> bool:
        """Compare the number up to now."""
        return OPS[self.op](self.number(at), self.than)

    @property
    def lasts(self) -> bool:
        """Without a window, or where none is right."""
        return self.within is None or OPS[self.op](0, self.than)

    @property
    def keep(self) -> int:
        """How many of the newest decide the comparison, whatever was before them."""
        return self.than if self.op == "gte" else self.than + 1

    def same(self, other: Leaf) -> bool:
        """Tell whether the other compares the same number but for window and bound."""
        if not isinstance(other, type(self)):
            return False
        return replace(other, op=self.op, than=self.than, within=self.within) == self

    def implies(self, other: Leaf) -> bool:
        """Know that a tighter bound implies a wider one; windows matter to counts alone."""
        if self == other:
            return True
        if not isinstance(other, Compared) or not self.same(other):
            return False
        return self.narrower(other, grows=True)

    def narrower(self, other: Compared, *, grows: bool) -> bool:
        """Compare bounds; `grows`: the number grows with the window."""
        mine, theirs = _reach(self), _reach(other)
        if self.op == "eq" and other.op not in {"eq", "ne"} and mine == theirs:
            return OPS[other.op](self.than, other.than)
        if self.op == "eq" and other.op == "ne" and mine == theirs:
            return self.than != other.than
        if self.op in AT_LEAST and other.op in AT_LEAST:
            least = self.than + AT_LEAST[self.op] >= other.than + AT_LEAST[other.op]
            return least and (mine == theirs or (grows and mine <= theirs))
        if self.op in AT_MOST and other.op in AT_MOST:
            most = self.than + AT_MOST[self.op] <= other.than + AT_MOST[other.op]
            return most and (mine == theirs or (grows and mine >= theirs))
        return self.op == other.op == "ne" and self.than == other.than and mine == theirs

    def compared(self) -> str:
        """Say the comparison in words."""
        window = "" if self.within is None else f" within {span(self.within)}"
        return f"{window} {self.op} {self.than}"


def _reach(it: Compared) -> float:
    return float("inf") if it.within is None else it.within


class Count(Compared, frozen=True):
    """These touchpoints, or completions of a pattern, happened so often.

    Attributes:
        of: the touchpoints; those that complete the pattern, where there is one.
        pattern: what is counted instead of single touchpoints.
        resets: touchpoints after which counting starts anew.
    """

    of: tuple[Selector, ...] = ()
    pattern: PatternNeed | None = None
    resets: tuple[Selector, ...] = ()
    slots: tuple[int, ...] = ()

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """What is counted, and what ends counting."""
        return tuple(it for it in (*self.of, *self.resets) if it.type != LEFT)

    def number(self, at: Moment) -> int:
        """Count up to now."""
        seen = 0
        for slot in self.slots:
            if self.within is None:
                seen += at.facts[slot].total
            else:
                times = at.facts[slot].times
                seen += len(times) - bisect_right(times, at.now - self.within)
        return seen

    def due(self, at: Moment) -> int | None:
        """Give the instant at which enough of them have left the window."""
        if self.within is None or self.op in AT_LEAST:
            return None
        entries = [(time, 1) for slot in self.slots for time in at.facts[slot].times]
        return slide(entries, self.op, self.than, self.within, at.now)

    def wants(self) -> tuple[Want | Need, ...]:
        """Need the totals, or as many of the newest times as decide the comparison."""
        ever, keep = self.within is None, 0 if self.within is None else self.keep
        if self.pattern is not None:
            return (replace(self.pattern, keep=keep),)
        return tuple(Want(it, self.resets, total=ever, keep=keep) for it in self.of)

    def bound(self, layout: Layout) -> Self:
        """Give itself with the slots of its facts."""
        return replace(self, slots=tuple(map(layout.slot, self.wants())))

    def may_hold(self, type_: str | None, event: str | None) -> bool:
        """Know that what happens now counts, where it cannot have counting start anew."""
        anew = any(it.may_take(type_, event) for it in self.resets)
        now = self.pattern is None and any(it.takes_all(type_, event) for it in self.of)
        now = now and not anew
        if self.op in AT_MOST:
            return int(now) <= self.than + AT_MOST[self.op]
        return self.op != "eq" or int(now) <= self.than

    @property
    def waits(self) -> bool:
        """A count within a window falls."""
        return self.within is not None and self.op not in AT_LEAST

    @property
    def lasts(self) -> bool:
        """Without a window, or where none is right."""
        return self.within is None or OPS[self.op](0, self.than)

    def told(self) -> str:
        """Say it in words."""
        since = f" since {named(self.resets)}" if self.resets else ""
        what = named(self.of) if self.pattern is None else self.pattern.told()
        if self.of and self.of[0].type == LEFT:
            what = f"stays in {' or '.join(it.event or '' for it in self.of)}"
        return f"count of {what}{since}{self.compared()}"

    def value(self, at: Moment) -> int:
        """Give the count; within a window no more than decides the comparison."""
        return self.number(at)


def once(of: tuple[Selector, ...], other: Leaf) -> bool:
    """Tell whether one of these touchpoints, happening now, makes a count hold."""
    if not isinstance(other, Count) or other.pattern is not None or other.resets:
        return False
    enough = other.op in AT_LEAST and other.than + AT_LEAST[other.op] <= 1
    return enough and subset(of, other.of)
