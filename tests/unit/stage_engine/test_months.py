"""Months: every instant lies in exactly one, and the names sort as the months do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import DAY
from clm_stage_engine.core import months

CENTURIES = st.integers(-500 * 365 * DAY, 2000 * 365 * DAY)
MONTHS = st.integers(100 * 12, 9998 * 12)


@given(CENTURIES)
def test_an_instant_lies_in_its_month_and_in_no_other(at: int) -> None:
    month = months.month_of(at)

    start, end = months.span(month)

    assert start <= at < end
    assert months.month_of(start) == month
    assert months.month_of(end) == month + 1


@given(MONTHS)
def test_names_sort_as_months_do(month: int) -> None:
    assert months.table(month) < months.table(month + 1)


def test_names_tell_the_month() -> None:
    assert months.table(2026 * 12 + 10) == "history_2026_11"


@given(CENTURIES, st.integers(1, 100))
def test_a_month_expires_when_as_many_have_followed_as_are_kept(now: int, keep: int) -> None:
    present = months.month_of(now)

    assert not months.expired(present - keep, now, keep)
    assert months.expired(present - keep - 1, now, keep)


@given(st.sets(st.integers(24_000, 24_060), min_size=1), st.data())
def test_a_stretch_is_known_without_a_gap_and_ends_where_the_next_is_not_known(
    known: set[int], data: st.DataObject
) -> None:
    month = data.draw(st.sampled_from(sorted(known)))

    start, end = months.stretch(known, month)

    inside = range(months.month_of(start), months.month_of(end))
    assert month in inside
    assert known.issuperset(inside)
    assert inside.start - 1 not in known
    assert inside.stop not in known
