"""How many records to read at a time: many, for they share the cost of a batch, but not too many.

A turn that takes long keeps others waiting and must end well before the lease and the transaction
time out, whatever the machine, the service and the records are like.
"""

from __future__ import annotations

from typing import Final

MOST: Final = 12_000
"""Records read at a time at most, over all partitions."""

LEAST: Final = 500
"""Records read at a time at least."""

TURN: Final = 1.0
"""Seconds a turn should take at most."""


def paced(limit: int, seconds: float) -> int:
    """Give the next limit after a turn of so many seconds under this one."""
    if seconds > TURN:
        return max(LEAST, limit // 2)
    return min(MOST, limit * 2) if seconds < TURN / 4 else limit
