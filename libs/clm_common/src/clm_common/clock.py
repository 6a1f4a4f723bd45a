"""Who tells the time: a port, the machine's clock, and one that stands still for tests.

Cores never read a clock: a shell passes `Clock.now()` in.
Instants are µs, see `clm_common.instant`.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Whoever tells the time."""

    def now(self) -> int:
        """Give the present instant in µs since the epoch."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Give the present instant in µs since the epoch."""
        return time.time_ns() // 1000


class ManualClock:
    """A clock that stands still until it is set; for tests and simulations."""

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        """Give the instant it was last set to, in µs."""
        return self._now

    def set(self, now: int) -> None:
        """Set the present instant, in µs since the epoch."""
        self._now = now
