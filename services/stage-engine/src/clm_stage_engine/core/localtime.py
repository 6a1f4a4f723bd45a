"""Conditions about the customer's own clock: these weekdays, between these hours.

The time zone is the last one that a touchpoint told (`context.timezone`, or a trait), by event
time; until then it is the lifecycle's. A name that is no IANA zone tells nothing.
Where clocks are put forward the missing hour does not exist; where they are put back the repeated
hour counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Final, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from msgspec.structs import replace

from clm_common.instant import DAY, HOUR, MINUTE, from_datetime, to_datetime
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.facts import Memory, Touch
from clm_stage_engine.core.leaf import Layout, Leaf, Moment, flip
from clm_stage_engine.core.memories import Need, Watch
from clm_stage_engine.core.reading import Path, digest
from clm_stage_engine.core.selector import Selector, Values, takes, values_of

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_AHEAD: Final = 10  # days: a week, and more on either side
_FULL: Final = DAY // MINUTE


@cache
def _zones() -> dict[int, str]:
    """Give every zone's name by the digest that a memory keeps of it."""
    return {digest(name): name for name in sorted(available_timezones())}


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Give a time zone.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in available_timezones():
        raise ValueError(f"no time zone {name!r}; write an IANA name, for example Europe/Berlin")
    return ZoneInfo(name)


class Zone(Watch, frozen=True):
    """The last known time zone. Memory: `total` is the digest of its name, 0 for none."""

    reads: tuple[Values, ...]

    def observe(self, memory: Memory, touch: Touch) -> Memory:
        """Keep a zone that is one."""
        for read in self.reads:
            for value in read(touch):
                name = digest(value) if isinstance(value, str) else 0
                if name in _zones():
                    return Memory(name)
        return memory


class ZoneNeed(Need, frozen=True):
    """A customer's time zone."""

    of: tuple[Selector, ...]
    paths: tuple[Path, ...]

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The touchpoints that tell it."""
        return self.of

    def watch(self, channels: Channels) -> Watch:
        """Give the watch that remembers it."""
        return Zone(takes(self.of, channels), tuple(values_of(it, channels) for it in self.paths))


class Local(Leaf, frozen=True):
    """The customer's clock shows one of these weekdays, and a time in a span of the day.

    Attributes:
        days: 0 for Monday to 6 for Sunday, of the date on the customer's calendar.
        start: the first minute of the day.
        end: the minute after the last; not after `start` where the span goes over midnight.
        default: the zone of those who told none.
        need: where a zone is told; None where everybody has the default.
        denied: all other times are meant.
    """

    days: tuple[int, ...]
    start: int
    end: int
    default: str
    need: ZoneNeed | None = None
    denied: bool = False
    slot: int = -1

    def holds(self, at: Moment) -> bool:
        """Look at the customer's clock."""
        local = to_datetime(at.now).astimezone(self._zone(at))
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            inside = self.start <= minute < self.end
        else:
            inside = minute >= self.start or minute < self.end
        return (inside and local.weekday() in self.days) != self.denied

    def _zone(self, at: Moment) -> ZoneInfo:
        told = 0 if self.slot < 0 else at.facts[self.slot].total
        return zone(_zones().get(told, self.default))

    def due(self, at: Moment) -> int | None:
        """Give the next instant at which the clock comes to show such a time."""
        told = 0 if self.slot < 0 else at.facts[self.slot].total
        return next((it for it in _begins(self, told, at.now // DAY) if it > at.now), None)

    def begins(self, told: int, day: int) -> tuple[int, ...]:
        """Give the instants around a UTC day, and in the week after it, at which it becomes true.

        It may where the hours begin or end, at midnight, and where clocks are changed.

        Args:
            told: the digest of the zone's name, 0 for none.
            day: days since the epoch.
        """
        place = zone(_zones().get(told, self.default))
        first = to_datetime(day * DAY).astimezone(place).date()
        bare = replace(self, slot=0)
        at = Moment((day - 1) * DAY, 0, (Memory(told),), None)
        found: list[int] = []
        while (it := flip(bare, at, _candidates(self, place, first))) is not None:
            found.append(it)
            at = Moment(it, 0, at.facts, None)
        return tuple(found)

    def wants(self) -> tuple[Need, ...]:
        """Need the zone."""
        return () if self.need is None else (self.need,)

    def bound(self, layout: Layout) -> Self:
        """Give itself with its slot."""
        return self if self.need is None else replace(self, slot=layout.slot(self.need))

    def opposite(self) -> Leaf:
        """Mean all other times."""
        return replace(self, denied=not self.denied)

    @property
    def waits(self) -> bool:
        """Clocks go."""
        return True

    @property
    def recurs(self) -> bool:
        """Clocks go round."""
        return True

    def minutes(self) -> frozenset[int]:
        """Give the minutes of a week in which it holds."""
        day = range(self.start, self.end) if self.start < self.end else range(_FULL)
        inside = {it for it in day if self.start < self.end or not self.end <= it < self.start}
        week = {number * _FULL + it for number in self.days for it in inside}
        return frozenset(range(7 * _FULL)) - week if self.denied else frozenset(week)

    def implies(self, other: Leaf) -> bool:
        """Compare the minutes of a week."""
        if not isinstance(other, Local) or (self.need, self.default) != (other.need, other.default):
            return False
        return self.minutes() <= other.minutes()

    def told(self) -> str:
        """Say it in words."""
        days = "" if len(self.days) == len(DAYS) else f"{', '.join(DAYS[it] for it in self.days)} "
        hours = f"{_clock(self.start)}-{_clock(self.end)}"
        return f"{'not ' if self.denied else ''}{days}{hours} local time"

    def value(self, at: Moment) -> str:
        """Give what the customer's clock shows."""
        local = to_datetime(at.now).astimezone(self._zone(at))
        return f"{DAYS[local.weekday()]} {local:%H:%M}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _candidates(local: Local, place: ZoneInfo, first: date) -> Iterator[int]:
    for number in range(-1, _AHEAD):
        day = first + timedelta(days=number)
        for minute in {0, local.start, local.end % _FULL}:
            wall = datetime.combine(day, time(minute // 60, minute % 60), place)
            yield from (from_datetime(wall.replace(fold=it)) for it in (0, 1))
        changed = _change(place, day)
        if changed is not None:
            yield changed


@lru_cache(maxsize=16_384)
def _begins(local: Local, told: int, day: int) -> tuple[int, ...]:
    return local.begins(told, day)


@lru_cache(maxsize=4096)
def _change(place: ZoneInfo, day: date) -> int | None:
    """Give the instant at which clocks are changed on a UTC day; None where they are not."""
    start = from_datetime(datetime.combine(day, time(0), UTC))

    def changed(now: int) -> bool:
        return to_datetime(now).astimezone(place).utcoffset() != before

    before = to_datetime(start).astimezone(place).utcoffset()
    if not changed(start + DAY):
        return None
    low, high = start, start + DAY
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if changed(middle) else (middle, high)
    return high


HOURS: Final = HOUR // MINUTE
