"""Turns of partitions that go on side by side; who takes long is not waited for.

A partition has one turn at a time. What goes wrong in a turn is told by the next look at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from clm_common.errors import Unavailable

PATIENCE: Final = 0.5
"""Seconds that the others wait for a turn."""


class Turns:
    """The turns in flight; on leaving the block they are cancelled."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[None], int] = {}
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
        return set(self._running.values())

    def begin(self, partition: int, turn: Coroutine[None, None, None]) -> None:
        """Begin a partition's turn; it must not be busy."""
        task = asyncio.create_task(turn)
        self._running[task] = partition
        self._new.append(task)

    async def met(self) -> None:
        """Wait for the turns begun since the last call, for `PATIENCE` at most.

        Raises:
            Exception: what ended one of all turns.
        """
        new, self._new = self._new, []
        if new:
            await asyncio.wait(new, timeout=PATIENCE)
        self._strike_off()

    async def over(self) -> None:
        """Wait for all to end; for what is away now the next owner will wait.

        Raises:
            Exception: what ended one of them.
        """
        while self._running:
            await asyncio.wait(self._running)
            with suppress(Unavailable):
                self._strike_off()

    def _strike_off(self) -> None:
        done = [task for task in self._running if task.done()]
        for task in done:
            del self._running[task]
        for error in [task.exception() for task in done]:
            if error is not None:
                raise error
