"""Selectors: which touchpoints a condition is about, by type, event name and what they carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from clm_stage_engine.core.channel import Channels, Origin
from clm_stage_engine.core.facts import Kept, Touch
from clm_stage_engine.core.predicate import Test, Where
from clm_stage_engine.core.reading import Path, values_at

TRACK: Final = "track"
LEFT: Final = "left"
"""The type of what no sender can send: a stage was left; the event is the stage's key."""

Takes = Callable[[Touch], bool]
Values = Callable[[Touch], tuple[object, ...]]


class Selector(Struct, frozen=True, order=True):
    """Touchpoints of one kind.

    Attributes:
        type: their type.
        event: the tracked event's name; None for any.
        where: what they must carry.
    """

    type: str
    event: str | None = None
    where: Where = ()

    def may_take(self, type_: str | None, event: str | None) -> bool:
        """Tell whether a touchpoint of that type and event could be one; False is certain."""
        return self.type == type_ and (self.event is None or self.event == event)

    def takes_all(self, type_: str | None, event: str | None) -> bool:
        """Tell whether every touchpoint of that type and event is one."""
        return not self.where and self.may_take(type_, event)

    def within(self, other: Selector) -> bool:
        """Tell whether all of these are also the other's. True is certain."""
        return (
            self.type == other.type
            and other.event in {None, self.event}
            and set(other.where) <= set(self.where)
        )


def tracked(*names: str) -> tuple[Selector, ...]:
    """Give the selectors of tracked events by their names."""
    return tuple(Selector(TRACK, name) for name in names)


def subset(some: Iterable[Selector], others: Iterable[Selector]) -> bool:
    """Tell whether what the first take is also taken by the others. True is certain."""
    listed = list(others)
    return all(any(one.within(other) for other in listed) for one in some)


def values_of(path: Path, channels: Channels) -> Values:
    """Give a function that reads the values at a path of a touchpoint.

    The paths `channel`, `campaign` and `source` are not read from the body as it was sent: they
    are the touchpoint's channel and campaign as `core.channel` finds them, and its source.
    """
    if path == ("source",):
        return lambda touch: (touch.message_id.partition("/")[0],)
    if path == ("channel",):
        return lambda touch: (_told(touch, channels).channel,)
    if path == ("campaign",):
        return lambda touch: (_told(touch, channels).campaign,)
    read = values_at(path)
    return lambda touch: read(touch.body)


def _told(touch: Touch, channels: Channels) -> Kept | Origin:
    """Tell where a touchpoint came from: what was kept of that, else what the tables say now."""
    return touch if isinstance(touch, Kept) else channels.origin(touch.body)


def takes(selectors: Iterable[Selector], channels: Channels) -> Takes:
    """Give a function that tells whether a touchpoint is one of these."""
    listed = tuple(selectors)
    plain = frozenset(it.event for it in listed if it.type == TRACK and it.event and not it.where)
    others = tuple(
        (it.type, it.event, _checks(it.where, channels))
        for it in listed
        if it.type != TRACK or not it.event or it.where
    )
    if not others:
        return lambda touch: touch.type == TRACK and touch.event in plain

    def taken(touch: Touch) -> bool:
        type_, event = touch.type, touch.event
        if type_ == TRACK and event in plain:
            return True
        for kind, name, checks in others:
            if kind == type_ and (name is None or name == event):  # noqa: SIM102 - cheap first
                if all(test.holds(read(touch)) for read, test in checks):
                    return True
        return False

    return taken


def _checks(where: Where, channels: Channels) -> tuple[tuple[Values, Test], ...]:
    return tuple((values_of(path, channels), test) for path, test in where)
