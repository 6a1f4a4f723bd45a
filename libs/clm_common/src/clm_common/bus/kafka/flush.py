"""One flush of the group-commit producer: what leaves together, and the calls that wait for it."""

from __future__ import annotations

import asyncio

from clm_common.bus.kafka.batches import Batches
from clm_common.bus.kafka.records import Compression
from clm_common.errors import Unavailable

Outcome = asyncio.Future[Unavailable | None]


class Flush:
    """The batches that leave together, and the calls that wait for them.

    Each call has a future of its own, as one may be cancelled without the others: to shield one
    future that all share costs a call more than half as much again.
    """

    __slots__ = ("_loop", "batches", "calls", "done", "since", "size")

    def __init__(self, compression: Compression | None) -> None:
        self._loop = asyncio.get_running_loop()
        self.batches = Batches(compression=compression)
        self.calls: list[Outcome] = []
        self.done: Outcome = self._loop.create_future()
        self.since = self._loop.time()
        self.size = 0

    def call(self) -> Outcome:
        """Give what one more call waits for."""
        outcome: Outcome = self._loop.create_future()
        self.calls.append(outcome)
        return outcome

    def settle(self, error: Unavailable | None) -> None:
        """Tell every call that still waits what became of it."""
        for outcome in (self.done, *self.calls):
            if not outcome.done():
                outcome.set_result(error)
