"""Turns of partitions that go on side by side; who takes long is not waited for.

A partition has one turn at a time. What goes wrong in a turn is told by the next look at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from time import perf_counter
from types import TracebackType
from typing import Final, Self

from clm_common.errors import Unavailable

PATIENCE: Final = 0.5
"""Seconds that the others wait for a turn."""


class Turns:
    """The turns in flight; on leaving the block they are cancelled."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[None], tuple[int, float]] = {}
        self._new: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def busy(self) -> set[int]:
        """The partitions whose turn is not over."""
        return {partition for partition, _ in self._running.values()}

    def begin(self, partition: int, turn: Coroutine[None, None, None]) -> None:
        """Begin a partition's turn; it must not be busy."""
        task = asyncio.create_task(turn)
        self._running[task] = partition, perf_counter()
        self._new.append(task)

    async def met(self) -> float:
        """Wait for the turns begun since the last call, for `PATIENCE` at most.

        Returns:
            How long the longest of those took that are over now, seconds.

        Raises:
            Exception: what ended one of all turns.
        """
        new, self._new = self._new, []
        if new:
            await asyncio.wait(new, timeout=PATIENCE)
        return self._strike_off()

    async def over(self) -> None:
        """Wait for all to end; for what is away now the next owner will wait.

        Raises:
            Exception: what ended one of them.
        """
        while self._running:
            await asyncio.wait(self._running)
            with suppress(Unavailable):
                self._strike_off()

    def _strike_off(self) -> float:
        now, longest = perf_counter(), 0.0
        done = [task for task in self._running if task.done()]
        for task in done:
            longest = max(longest, now - self._running.pop(task)[1])
        for error in [task.exception() for task in done]:
            if error is not None:
                raise error
        return longest
