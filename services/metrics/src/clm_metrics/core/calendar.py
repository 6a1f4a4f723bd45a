"""Local days and the periods made of them: what "per day" means in a workspace's time zone.

A day is a whole number: days since 1970-01-01 on the local calendar. It runs from local midnight to
local midnight, half-open, so it has 23 or 25 hours when the clocks change. Weeks are ISO weeks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from clm_common.instant import DAY, from_datetime, to_datetime

_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_MONDAY: Final = 3  # 1970-01-01 was a Thursday


class Grain(StrEnum):
    """How long a period is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Calendar:
    """The days of one time zone."""

    def __init__(self, name: str) -> None:
        """Open the calendar of an IANA time zone.

        Raises:
            ValueError: there is no such zone.
        """
        self.name = name
        self._zone = _zone(name)

    def day(self, at: int) -> int:
        """Give the local day of an instant (µs)."""
        if self._zone is UTC:
            return at // DAY
        return to_datetime(at).astimezone(self._zone).toordinal() - _EPOCH_ORDINAL

    def start(self, day: int) -> int:
        """Give the instant (µs) at which a local day starts.

        Where the clocks skip midnight it is the instant of the change, where they show midnight
        twice the first of the two.
        """
        local = datetime.combine(to_date(day), datetime.min.time(), self._zone)
        return from_datetime(local.astimezone(UTC))


class Zones(Struct, frozen=True):
    """Which time zone each workspace reports in.

    Attributes:
        default: the IANA name for all that have none of their own.
        own: the names of those that have.
    """

    default: str = "UTC"
    own: Mapping[str, str] = {}

    def of(self, workspace: str) -> str:
        """Give a workspace's time zone."""
        return self.own.get(workspace, self.default)


class Period(Struct, frozen=True):
    """Some whole days, half-open: a day, week or month, or what a range leaves of it.

    Attributes:
        start: its first day.
        end: the day after its last.
        cut: the range it was made for cuts a part of it off.
    """

    start: int
    end: int
    cut: bool


def periods(start: int, end: int, grain: Grain) -> list[Period]:
    """Part the days [start, end) into periods, in order; the first and the last may be cut."""
    found: list[Period] = []
    while start < end:
        opens, closes = _around(start, grain)
        until = min(closes, end)
        found.append(Period(start, until, cut=(opens, closes) != (start, until)))
        start = until
    return found


def to_date(day: int) -> date:
    """Turn a day into a date."""
    return date.fromordinal(day + _EPOCH_ORDINAL)


def from_date(moment: date) -> int:
    """Turn a date into a day."""
    return moment.toordinal() - _EPOCH_ORDINAL


def _around(day: int, grain: Grain) -> tuple[int, int]:
    """Give the whole period that holds a day: its first day and the one after its last."""
    if grain is Grain.DAY:
        return day, day + 1
    if grain is Grain.WEEK:
        monday = day - (day + _MONDAY) % 7
        return monday, monday + 7
    first = to_date(day).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return from_date(first), from_date(following)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise ValueError(f"{name!r} is no IANA time zone, such as Europe/Berlin or UTC") from error
