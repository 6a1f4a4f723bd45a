"""What every kind of condition answers.

Whether it holds, when time alone will make it hold, what it needs to remember, and what can be said
of it without any profile. A new kind is a class derived from `Leaf`, listed in `condition`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Final, Protocol, Self

from msgspec import Struct

from clm_common.instant import DAY, HOUR, MINUTE, SECOND
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import Facts, Touch
from clm_stage_engine.core.memories import Need
from clm_stage_engine.core.predicate import Op
from clm_stage_engine.core.reading import Path
from clm_stage_engine.core.selector import Selector

OPS: Final[dict[Op, Callable[[int, int], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}
OPPOSITE: Final[dict[Op, Op]] = {
    "gt": "lte",
    "gte": "lt",
    "lt": "gte",
    "lte": "gt",
    "eq": "ne",
    "ne": "eq",
}
AT_LEAST: Final[dict[Op, int]] = {"gt": 1, "gte": 0}  # gt 2 is gte 3
AT_MOST: Final[dict[Op, int]] = {"lt": -1, "lte": 0}


class Moment(Struct, frozen=True, gc=False):
    """What a condition is judged by.

    Attributes:
        now: the instant, µs.
        since: when the profile entered its stage.
        facts: what it remembers, this touchpoint included.
        touch: the touchpoint that happens now; None at a deadline.
    """

    now: int
    since: int
    facts: Facts
    touch: Touch | None


class Undecidable(Exception):
    """A negation that no touchpoint and no deadline could ever decide; says what to write."""


class Want(Struct, frozen=True):
    """A count, times or amounts that a leaf needs of some touchpoints.

    Wants of the same touchpoints share a slot.

    Attributes:
        of: the touchpoints.
        resets: touchpoints after which counting starts anew.
        total: how often they happened (or, with a path, what it sums to), ever.
        keep: how many of the newest times.
        path: the property whose amounts are summed.
        window: how far back its amounts matter, µs.
    """

    of: Selector
    resets: tuple[Selector, ...] = ()
    total: bool = False
    keep: int = 0
    path: Path | None = None
    window: int | None = None


class Layout(Protocol):
    """Where facts are kept."""

    channels: Channels

    def slot(self, need: Want | Need) -> int:
        """Give the slot of a fact."""
        ...

    def place(self, want: Want) -> int:
        """Give the place of a want's property among the tallies of its slot."""
        ...


class Leaf(Struct, frozen=True):
    """A condition without parts. What is not overridden is true of a mere guard."""

    @property
    def mentions(self) -> tuple[Selector, ...]:
        """The touchpoints at which a move with this condition is worth a look."""
        return ()

    def holds(self, at: Moment) -> bool:
        """Tell whether it holds at a moment."""
        raise NotImplementedError

    def due(self, at: Moment) -> int | None:
        """Give the first instant after a moment at which it becomes true by time alone."""
        del at
        return None

    def wants(self) -> tuple[Want | Need, ...]:
        """Give the facts it needs."""
        return ()

    def bound(self, layout: Layout) -> Self:
        """Give itself with the slots of its facts and ready to judge touchpoints."""
        del layout
        return self

    def opposite(self) -> Leaf | None:
        """Give the condition that holds where this does not; None where `not` itself says it.

        Raises:
            Undecidable: nothing can ever decide it.
        """
        return None

    def may_hold(self, type_: str | None, event: str | None) -> bool:
        """Tell whether it could hold at such a touchpoint, or (None, None) at a deadline.

        False is certain.
        """
        del type_, event
        return True

    @property
    def waits(self) -> bool:
        """Time alone may make it true."""
        return False

    @property
    def recurs(self) -> bool:
        """Time alone makes it true again and again, whatever happened before."""
        return False

    @property
    def lasts(self) -> bool:
        """It may hold for ever in a profile that does nothing."""
        return True

    def implies(self, other: Leaf) -> bool:
        """Tell whether the other holds whenever this does. True is certain."""
        return self == other

    def told(self) -> str:
        """Say it in words."""
        raise NotImplementedError

    def value(self, at: Moment) -> int | float | str | bool | None:
        """Give what is compared, as people read it; by default whether it holds."""
        return self.holds(at)


def flip(leaf: Leaf, at: Moment, candidates: Iterable[int]) -> int | None:
    """Give the first candidate after a moment at which a leaf becomes true by time alone."""
    for it in sorted({it for it in candidates if it > at.now}):
        if leaf.holds(later(at, it)) and not leaf.holds(later(at, it - 1)):
            return it
    return None


def later(at: Moment, now: int) -> Moment:
    """Give the same moment at another instant, without its touchpoint."""
    return Moment(now, at.since, at.facts, None)


def slide(
    entries: Iterable[tuple[int, int]], op: Op, than: int, within: int, now: int
) -> int | None:
    """Give the first instant after now at which the windowed sum of weights becomes true.

    Args:
        entries: (time, weight) pairs.
        op: how the sum is compared.
        than: what it is compared with.
        within: the window, µs.
        now: the instant from which time passes without another touchpoint.
    """
    holds = OPS[op]
    leaving: dict[int, int] = {}
    for time, weight in sorted(entries):
        if time > now - within:
            leaving[time] = leaving.get(time, 0) + weight
    total = sum(leaving.values())
    was = holds(total, than)
    for time, weight in leaving.items():
        total -= weight
        if holds(total, than) and not was:
            return time + within
        was = holds(total, than)
    return None


_UNITS: Final = (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND))


def span(micros: int) -> str:
    """Write a duration as lifecycles do: 120d, 36h, 10m, 45s."""
    for letter, unit in _UNITS:
        if micros % unit == 0:
            return f"{micros // unit}{letter}"
    return f"{micros / SECOND}s"


def passed(micros: int) -> str:
    """Write how much time has passed, by its two largest units: 120d, 14d 8h, 45s."""
    parts: list[str] = []
    for letter, unit in _UNITS:
        number, micros = divmod(micros, unit)
        if number or (letter == "s" and not parts):
            parts.append(f"{number}{letter}")
    return " ".join(parts[:2])


def named(selectors: Iterable[Selector]) -> str:
    """Name touchpoints in words."""
    return " or ".join(_named(it) for it in selectors)


def _named(selector: Selector) -> str:
    name = selector.event or ("any event" if selector.type == "track" else selector.type)
    tests = " and ".join(f"{'.'.join(path)} {asked(test)}" for path, test in selector.where)
    return f"{name} where {tests}" if tests else name


def asked(test: object) -> str:
    """Say a predicate's test in words."""
    op, value = getattr(test, "op", ""), getattr(test, "value", "")
    listed = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    denied = "not " if getattr(test, "denied", False) else ""
    return f"{denied}{op} {listed}"
