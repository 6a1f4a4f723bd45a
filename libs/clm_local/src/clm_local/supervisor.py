"""The supervisor: starts children, starts them again when they end, and ends them all in order.

It knows nothing of CLM: what the children are is `system`'s matter. A child that ends by itself is
started again after a pause that doubles while it keeps ending soon after its start, so one that was
killed is back at once and one that crashes in a loop costs little and is reported.
Nothing outlives it: its death, even by kill -9, ends the children (see `shim`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from pathlib import Path

import msgspec
import structlog

from clm_local.child import LOG_LIMIT, Child, Running, start
from clm_local.processes import process
from clm_local.state import ChildState, Phase

log = structlog.get_logger()

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
SETTLED = 20.0
"""Seconds a child must live for its end to count as an accident and not as part of a loop."""

PULSE = 0.1
"""Seconds between two questions whether a child is ready."""

ROTATION = 10.0


def pause_after(quick: int) -> float:
    """Give the seconds to wait after the `quick`-th end in a row that came soon."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(max(quick, 1) - 1, 16))


class Keeper:
    """Keeps one child alive; `state` says how it is."""

    def __init__(self, child: Child, changed: Callable[[], None], gate: asyncio.Event) -> None:
        self.child = child
        self._gate = gate
        self.state = ChildState(Phase.STARTING, str(child.log_path))
        self._changed = changed
        self._running: Running | None = None
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Start it when the gate is open, and again and again, until cancelled."""
        await self._gate.wait()
        while True:
            running = start(self.child)
            self._running = running
            self._note(phase=Phase.STARTING, process=process(running.pid), ready_after=None)
            with _background(self._announce(running)):
                code = await running.ended()
            await self._recover(code, time.monotonic() - running.started_at)

    async def stop(self) -> None:
        """End it, politely first; call this when `run` has been cancelled."""
        if self._running is not None:
            code = await self._running.stop()
            log.info("child.stopped", child=self.child.name, code=code)
        self._note(phase=Phase.STOPPED, process=None)

    def kill(self) -> None:
        """End it at once, whatever it is at."""
        if self._running is not None and self._running.code is None:
            self._running.kill()

    async def ready(self) -> None:
        """Return once it is ready, or has been before."""
        await self._ready.wait()

    async def _announce(self, running: Running) -> None:
        while not await self.child.ready():  # noqa: ASYNC110  (another process cannot set an Event)
            await asyncio.sleep(PULSE)
        took = time.monotonic() - running.started_at
        log.info("child.ready", child=self.child.name, seconds=round(took, 2))
        self._note(phase=Phase.READY, ready_after=round(took, 2))
        self._ready.set()
        await asyncio.sleep(SETTLED - took)
        self._note(quick=0)

    async def _recover(self, code: int, lived: float) -> None:
        quick = self.state.quick + 1 if lived < SETTLED else 1
        pause = pause_after(quick)
        log.warning("child.ended", child=self.child.name, code=code, quick=quick, pause=pause)
        self._note(
            phase=Phase.PAUSED, process=None, code=code, quick=quick, ends=self.state.ends + 1
        )
        await asyncio.sleep(pause)

    def _note(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self._changed()


class Supervisor:
    """Runs children in tiers: later tiers are ended before earlier ones.

    The first tier starts at once, the others when `open_gate` is called.
    """

    def __init__(self, tiers: Sequence[Sequence[Child]], changed: Callable[[], None]) -> None:
        """Make a supervisor.

        Args:
            tiers: the children; what others lean on stands in an earlier tier.
            changed: called after every change of a child's state.
        """
        self._gate = asyncio.Event()
        is_open = asyncio.Event()
        is_open.set()
        gates = [is_open, *[self._gate] * len(tiers)]
        self._tiers = [
            [Keeper(child, changed, gate) for child in tier]
            for gate, tier in zip(gates, tiers, strict=False)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def children(self) -> dict[str, ChildState]:
        """Every child's state, by name, in order."""
        return {it.child.name: it.state for it in self._keepers()}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the children alive until `stop` is set, then end them, last tier first.

        Call it in the main thread: the children die with the thread that starts them.
        """
        self._tasks = [asyncio.create_task(it.run()) for it in self._keepers()]
        self._tasks.append(asyncio.create_task(self._rotate()))
        waiting = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                [waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
            await self._stop()
        for task in done - {waiting}:
            task.result()

    def open_gate(self) -> None:
        """Let the later tiers start: what they need to find is there."""
        self._gate.set()

    async def ready(self, name: str) -> None:
        """Return once the child with this name has been ready."""
        await next(it for it in self._keepers() if it.child.name == name).ready()

    def kill(self) -> None:
        """End every child at once; `run` then has little left to stop."""
        for it in self._keepers():
            it.kill()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for tier in reversed(self._tiers):
            await asyncio.gather(*(it.stop() for it in tier))

    async def _rotate(self) -> None:
        """Keep the logs of long-lived children small."""
        while True:
            for it in self._keepers():
                set_aside(it.child.log_path)
            await asyncio.sleep(ROTATION)

    def _keepers(self) -> Iterator[Keeper]:
        return (it for tier in self._tiers for it in tier)


def set_aside(place: Path, limit: int = LOG_LIMIT) -> None:
    """Copy an overgrown log to `<name>.1` and empty it; its writer appends, so it goes on at 0."""
    with contextlib.suppress(FileNotFoundError):
        if place.stat().st_size > limit:
            shutil.copyfile(place, place.with_suffix(place.suffix + ".1"))
            os.truncate(place, 0)


@contextlib.contextmanager
def _background(work: Coroutine[object, None, None]) -> Generator[None]:
    """Run work beside the block and end it with the block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
