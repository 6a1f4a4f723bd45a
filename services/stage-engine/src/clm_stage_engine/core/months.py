"""Months of event time: each has a partition of the history, named after it.

A month is counted as an integer, twelve a year since the year 0, in UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from clm_common.instant import from_datetime, to_datetime

AHEAD: Final = 1
"""Months after the present one that have a partition already."""

BEHIND: Final = 119
"""Months before the present one that may have a partition: ten years in all.

Events further away than that (clocks that stand at 1970, imports of another age) are kept in the
default partition, so that nobody can make partitions without end.
"""


def month_of(micros: int) -> int:
    """Give the month of an instant (µs)."""
    moment = to_datetime(micros)
    return moment.year * 12 + moment.month - 1


def bounds(month: int) -> tuple[datetime, datetime]:
    """Give the first instant of a month and that of the next."""
    return _first(month), _first(month + 1)


def span(month: int) -> tuple[int, int]:
    """Give the same in µs."""
    start, end = bounds(month)
    return from_datetime(start), from_datetime(end)


def _first(month: int) -> datetime:
    return datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)


def table(month: int) -> str:
    """Give the name of a month's partition: `history_2026_11`."""
    return f"history_{month // 12:04}_{month % 12 + 1:02}"


def is_near(month: int, now: int) -> bool:
    """Tell whether a month has, or may get, a partition of its own (`now` in µs)."""
    present = month_of(now)
    return present - BEHIND <= month <= present + AHEAD


def ahead(now: int) -> list[int]:
    """Give the months that should have a partition before anything happens in them."""
    present = month_of(now)
    return list(range(present, present + AHEAD + 1))


def expired(month: int, now: int, keep: int) -> bool:
    """Tell whether a month is older than the `keep` months before the present one."""
    return month < month_of(now) - keep


def stretch(known: set[int], month: int) -> tuple[int, int]:
    """Give the instants (µs) between which every month is known, around one that is."""
    first = last = month
    while first - 1 in known:
        first -= 1
    while last + 1 in known:
        last += 1
    return span(first)[0], span(last)[1]
