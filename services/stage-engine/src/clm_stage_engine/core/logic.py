"""What can be said of a condition without any profile: its normal form, and when it may hold.

In normal form `not` stands before touchpoints only; everywhere else it has been worked into the
leaf. Then the whole becomes true only when one of its leaves does, so it is enough to consider a
move when a touchpoint comes that it mentions, or when one of its timed leaves falls due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Final, assert_never

from msgspec.structs import replace

from clm_stage_engine.core.condition import AllOf, AnyOf, Condition, Event, Not
from clm_stage_engine.core.leaf import Leaf, Moment, Undecidable
from clm_stage_engine.core.selector import LEFT, TRACK, Selector

_CHOICES: Final = 64
"""How many ways of holding are looked at for contradictions, at most."""

OTHER: Final = ""
"""Stands for any tracked event that no condition names."""


def normal(condition: Condition, *, negated: bool = False) -> Condition:
    """Give the normal form of a condition, or of its negation.

    Raises:
        Undecidable: a deadline is negated.
    """
    match condition:
        case Not():
            return normal(condition.part, negated=not negated)
        case AllOf() | AnyOf():
            parts = tuple(normal(part, negated=negated) for part in condition.parts)
            return AllOf(parts) if isinstance(condition, AllOf) != negated else AnyOf(parts)
        case Leaf():
            return (condition.opposite() or Not(condition)) if negated else condition
        case _:
            assert_never(condition)


def mapped(condition: Condition, change: Callable[[Leaf], Condition]) -> Condition:
    """Give a condition with each of its leaves replaced."""
    match condition:
        case Not():
            return Not(mapped(condition.part, change))
        case AllOf() | AnyOf():
            parts = tuple(mapped(part, change) for part in condition.parts)
            return replace(condition, parts=parts)
        case Leaf():
            return change(condition)
        case _:
            assert_never(condition)


def leaves(condition: Condition) -> Iterator[Leaf]:
    """Give every leaf, in the order they are written."""
    match condition:
        case Not():
            yield from leaves(condition.part)
        case AllOf() | AnyOf():
            for part in condition.parts:
                yield from leaves(part)
        case Leaf():
            yield condition
        case _:
            assert_never(condition)


def mentions(condition: Condition) -> frozenset[Selector]:
    """Give the touchpoints it mentions."""
    return frozenset(it for leaf in leaves(condition) for it in leaf.mentions if it.type != LEFT)


def may_hold(condition: Condition, type_: str | None, event: str | None) -> bool:
    """Tell whether it could hold at such a touchpoint, or (with None and None) at a deadline.

    False is certain; True means that it depends on the profile.
    """
    match condition:
        case Not():
            return not _certain(condition.part, type_, event)
        case AllOf():
            return all(may_hold(part, type_, event) for part in condition.parts)
        case AnyOf():
            return any(may_hold(part, type_, event) for part in condition.parts)
        case Leaf():
            return condition.may_hold(type_, event)
        case _:
            assert_never(condition)


def _certain(condition: Condition, type_: str | None, event: str | None) -> bool:
    """Tell whether such a touchpoint is always the one that is denied."""
    if not isinstance(condition, Event) or condition.nth is not None:
        return False
    return any(it.takes_all(type_, event) for it in condition.of)


def considered(condition: Condition, type_: str, event: str | None) -> bool:
    """Tell whether a move is worth a look at such a touchpoint: mentioned, and may hold."""
    mentioned = any(it.may_take(type_, event) for it in mentions(condition))
    return mentioned and may_hold(condition, type_, event)


def kinds(selectors: frozenset[Selector]) -> list[tuple[str, str | None]]:
    """Give the (type, event) pairs that these tell apart; `OTHER` is any other tracked event."""
    tracked = sorted({it.event for it in selectors if it.type == TRACK and it.event is not None})
    anything = any(it.type == TRACK and it.event is None for it in selectors)
    typed = sorted({it.type for it in selectors if it.type not in {TRACK, LEFT}})
    others: list[tuple[str, str | None]] = [(TRACK, OTHER)] if anything else []
    return [*((TRACK, name) for name in tracked), *others, *((it, None) for it in typed)]


def triggers(condition: Condition) -> list[tuple[str, str | None]]:
    """Give the (type, event) of touchpoints that could set it off."""
    return [it for it in kinds(mentions(condition)) if considered(condition, *it)]


def waits(condition: Condition) -> tuple[Leaf, ...]:
    """Give the timed leaves whose falling due could make the whole true.

    A leaf beside a touchpoint that must happen at the same moment is none of them.
    """
    if not may_hold(condition, None, None):
        return ()
    match condition:
        case AllOf() | AnyOf():
            return tuple(leaf for part in condition.parts for leaf in waits(part))
        case Leaf():
            return (condition,) if condition.waits else ()
        case _:
            return ()


def earliest(condition: Condition, at: Moment) -> int | None:
    """Give an instant, not before a moment, before which time alone cannot make a condition hold.

    None: time alone never can.
    """
    match condition:
        case AllOf():
            found = [earliest(part, at) for part in condition.parts]
            return None if None in found else max([it for it in found if it], default=at.now)
        case AnyOf():
            found = [earliest(part, at) for part in condition.parts]
            return min([it for it in found if it is not None], default=None)
        case Leaf():
            return at.now if condition.holds(at) else condition.due(at)
        case _:
            return at.now


def may_last(condition: Condition) -> bool:
    """Tell whether it could come true again and again in a profile that does nothing."""
    match condition:
        case Not():
            return True
        case AllOf():
            return all(may_last(part) for part in condition.parts)
        case AnyOf():
            return any(may_last(part) for part in condition.parts)
        case Leaf():
            return condition.lasts
        case _:
            assert_never(condition)


def implies(one: Condition, other: Condition) -> bool:
    """Tell whether `other` holds whenever `one` does. True is certain; False means unknown."""
    if one == other:
        return True
    if isinstance(one, AnyOf):
        return all(implies(part, other) for part in one.parts)
    if isinstance(other, AllOf):
        return all(implies(one, part) for part in other.parts)
    if isinstance(one, AllOf) and any(implies(part, other) for part in one.parts):
        return True
    if isinstance(other, AnyOf):
        return any(implies(one, part) for part in other.parts)
    return isinstance(one, Leaf) and isinstance(other, Leaf) and one.implies(other)


def ways(condition: Condition) -> list[tuple[Condition, ...]]:
    """Give the sets of leaves (or denied leaves) that make a normal form hold, one per choice.

    Only the first `_CHOICES` are given.
    """
    match condition:
        case AnyOf():
            return [way for part in condition.parts for way in ways(part)][:_CHOICES]
        case AllOf():
            found: list[tuple[Condition, ...]] = [()]
            for part in condition.parts:
                found = [(*one, *more) for one, more in product(found, ways(part))][:_CHOICES]
            return found
        case _:
            return [(condition,)]


def contradiction(condition: Condition) -> tuple[Condition, Condition] | None:
    """Give two parts of which each excludes the other, whatever way is chosen to make it hold.

    None where there is a way without such a pair. The pair is that of the first way.
    """
    first: tuple[Condition, Condition] | None = None
    listed = ways(condition)
    if len(listed) == _CHOICES:
        return None
    for way in listed:
        pair = _clash(way)
        if pair is None:
            return None
        first = first or pair
    return first


def _clash(way: tuple[Condition, ...]) -> tuple[Condition, Condition] | None:
    for place, one in enumerate(way):
        for other in way[:place]:
            if excludes(one, other) or excludes(other, one):
                return other, one
    return None


def excludes(one: Condition, other: Condition) -> bool:
    """Tell whether two leaves, or denied leaves, can never hold together. True is certain."""
    if isinstance(one, Not) or isinstance(other, Not):
        denied, plain = (one, other) if isinstance(one, Not) else (other, one)
        return isinstance(denied, Not) and implies(plain, denied.part)
    if isinstance(one, Event) and isinstance(other, Event):
        return not any(_together(it, each) for it in one.of for each in other.of)
    if not isinstance(other, Leaf):
        return False
    try:
        opposite = other.opposite()
    except Undecidable:
        return False
    return opposite is not None and implies(one, opposite)


def _together(one: Selector, other: Selector) -> bool:
    """Tell whether one touchpoint could be both."""
    if one.type != other.type:
        return False
    return one.event is None or other.event is None or one.event == other.event
