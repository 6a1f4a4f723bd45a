"""Local days, also where the clocks change, and the periods made of them."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import HOUR, from_rfc3339, to_rfc3339
from clm_metrics.core.calendar import Calendar, Grain, from_date, periods, to_date

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


@pytest.mark.parametrize(
    ("zone", "instant", "day", "start", "hours"),
    [
        ("UTC", "2025-03-09T06:59:59Z", "2025-03-09", "2025-03-09T00:00:00Z", 24),
        ("America/New_York", "2025-03-09T06:59:59Z", "2025-03-09", "2025-03-09T05:00:00Z", 23),
        ("America/New_York", "2025-11-02T05:30:00Z", "2025-11-02", "2025-11-02T04:00:00Z", 25),
        ("Europe/London", "2025-03-30T00:59:59Z", "2025-03-30", "2025-03-30T00:00:00Z", 23),
        ("America/New_York", "2025-03-30T00:59:59Z", "2025-03-29", "2025-03-29T04:00:00Z", 24),
        ("Asia/Kolkata", "2025-03-08T18:30:00Z", "2025-03-09", "2025-03-08T18:30:00Z", 24),
        ("Asia/Kolkata", "2025-03-08T18:29:59Z", "2025-03-08", "2025-03-07T18:30:00Z", 24),
        ("Australia/Lord_Howe", "2025-04-06T00:00:00Z", "2025-04-06", "2025-04-05T13:00:00Z", 24.5),
        ("Australia/Lord_Howe", "2025-10-05T00:00:00Z", "2025-10-05", "2025-10-04T13:30:00Z", 23.5),
        ("America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z", 23),
        ("UTC", "1969-12-31T23:59:59Z", "1969-12-31", "1969-12-31T00:00:00Z", 24),
    ],
)
def test_a_day_runs_from_local_midnight_to_local_midnight(
    zone: str, instant: str, day: str, start: str, hours: float
) -> None:
    calendar = Calendar(zone)

    found = calendar.day(from_rfc3339(instant))

    assert to_date(found).isoformat() == day
    assert calendar.start(found) == from_rfc3339(start)
    assert (calendar.start(found + 1) - calendar.start(found)) / HOUR == hours


@given(st.sampled_from(ZONES), st.integers(from_rfc3339("1975-01-01"), from_rfc3339("2037-01-01")))
def test_every_instant_lies_within_its_day(zone: str, at: int) -> None:
    calendar = Calendar(zone)

    day = calendar.day(at)

    assert calendar.start(day) <= at < calendar.start(day + 1), to_rfc3339(at)


def test_a_range_is_parted_into_iso_weeks_and_the_ends_are_cut() -> None:
    start, end = from_date(date(2026, 11, 4)), from_date(date(2026, 11, 17))

    found = periods(start, end, Grain.WEEK)

    assert [(to_date(each.start).isoformat(), each.cut) for each in found] == [
        ("2026-11-04", True),
        ("2026-11-09", False),
        ("2026-11-16", True),
    ]


def test_months_have_their_own_lengths() -> None:
    start, end = from_date(date(2027, 12, 1)), from_date(date(2028, 3, 1))

    found = periods(start, end, Grain.MONTH)

    assert [each.end - each.start for each in found] == [31, 31, 29]
    assert not any(each.cut for each in found)


@given(st.integers(-1000, 30_000), st.integers(0, 800), st.sampled_from(Grain))
def test_periods_part_a_range_without_gap_or_overlap(start: int, days: int, grain: Grain) -> None:
    found = periods(start, start + days, grain)

    assert [day for each in found for day in range(each.start, each.end)] == list(
        range(start, start + days)
    )


def test_a_zone_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'Europe/Atlantis' is no IANA time zone"):
        Calendar("Europe/Atlantis")


@pytest.mark.parametrize("name", ["", "../etc/passwd", "\0", "Europe"])
def test_a_zone_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no IANA time zone"):
        Calendar(name)
