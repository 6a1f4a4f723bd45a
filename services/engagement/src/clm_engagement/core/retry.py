"""When to try again what the other side has put off."""

from __future__ import annotations

from typing import Final

from clm_common.instant import HOUR, SECOND

FIRST: Final = 30 * SECOND
LONGEST: Final = HOUR
UNTRIED: Final = 5 * SECOND


def next_try(attempts: int, *, now: int, roll: float) -> int:
    """Give the instant (µs) of the next try; waits double from 30 s to an hour, half of it luck.

    Args:
        attempts: how often it was tried; 0 where it never got as far.
        now: the present instant, µs.
        roll: a random number from 0 to 1, so that many do not come back at once.
    """
    bound = min(LONGEST, FIRST << min(attempts - 1, 20)) if attempts > 0 else UNTRIED
    return now + int(bound * (0.5 + roll / 2))
