"""How many records to read at a time: many, for they share the cost of a batch, but not too many.

A turn that takes long keeps others waiting and must end well before the lease and the transaction
time out, whatever the machine, the service and the records are like.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 12_000
"""Records read at a time at most, over all partitions."""

LEAST: Final = 50
"""Records read at a time at least."""

TURN: Final = 1.0
"""Seconds a turn should take at most."""


def paced(limit: int, seconds: float, read: int) -> int:
    """Give the next limit after a turn of so many seconds in which so many records were read.

    Quick turns of few records say nothing of what a larger one would take.
    """
    if seconds > TURN:
        return shrunk(limit)
    return min(MOST, limit * 2) if seconds < TURN / 4 and read * 2 >= limit else limit


def shrunk(limit: int) -> int:
    """Give the next limit after a turn that failed: what it held may take too long at once."""
    return max(LEAST, limit // 2)
