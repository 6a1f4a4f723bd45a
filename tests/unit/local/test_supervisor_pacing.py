"""How long the supervisor waits before it starts a child again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_local.supervisor import FIRST_PAUSE, LONGEST_PAUSE, pause_after


def test_a_first_crash_is_forgiven_at_once() -> None:
    assert pause_after(1) == FIRST_PAUSE


def test_a_crash_loop_is_slowed_down_to_the_longest_pause() -> None:
    assert pause_after(50) == LONGEST_PAUSE


@given(st.integers(0, 10_000))
def test_the_pause_never_shrinks_while_crashes_go_on(quick: int) -> None:
    assert FIRST_PAUSE <= pause_after(quick) <= pause_after(quick + 1) <= LONGEST_PAUSE
