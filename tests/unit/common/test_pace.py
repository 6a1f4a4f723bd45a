from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.runtime.pace import LEAST, MOST, TURN, paced

LIMITS = st.integers(LEAST, MOST)


@given(LIMITS, st.floats(0, 1e6))
def test_a_limit_stays_within_its_bounds(limit: int, seconds: float) -> None:
    assert LEAST <= paced(limit, seconds) <= MOST


@given(LIMITS.filter(lambda it: it > LEAST))
def test_a_turn_that_took_too_long_is_followed_by_a_smaller_one(limit: int) -> None:
    assert paced(limit, 2 * TURN) < limit


@given(LIMITS.filter(lambda it: it < MOST))
def test_a_turn_that_took_little_is_followed_by_a_larger_one(limit: int) -> None:
    assert paced(limit, TURN / 10) > limit


def test_a_turn_that_took_its_time_is_followed_by_one_like_it() -> None:
    assert paced(6_000, TURN / 2) == 6_000
