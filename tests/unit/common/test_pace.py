from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.runtime.pace import LEAST, MOST, TURN, paced, shrunk

LIMITS = st.integers(LEAST, MOST)


@given(LIMITS, st.floats(0, 1e6), st.integers(0, MOST))
def test_a_limit_stays_within_its_bounds(limit: int, seconds: float, read: int) -> None:
    assert LEAST <= paced(limit, seconds, read) <= MOST
    assert LEAST <= shrunk(limit) <= MOST


@given(LIMITS.filter(lambda it: it > LEAST))
def test_a_turn_that_took_too_long_is_followed_by_a_smaller_one(limit: int) -> None:
    assert paced(limit, 2 * TURN, limit) < limit


@given(LIMITS.filter(lambda it: it < MOST))
def test_a_full_turn_that_took_little_is_followed_by_a_larger_one(limit: int) -> None:
    assert paced(limit, TURN / 10, limit) > limit


@given(LIMITS)
def test_a_turn_of_few_records_says_nothing_of_larger_ones(limit: int) -> None:
    assert paced(limit, TURN / 10, limit // 3) == limit


def test_a_turn_that_took_its_time_is_followed_by_one_like_it() -> None:
    assert paced(6_000, TURN / 2, 6_000) == 6_000


@given(LIMITS.filter(lambda it: it > LEAST))
def test_a_turn_that_failed_is_followed_by_a_smaller_one(limit: int) -> None:
    assert shrunk(limit) < limit
