"""Runs a system: the supervisor, the setting up, and `run.json`, which tells others how it goes."""

from __future__ import annotations

import asyncio
import os
import signal

import structlog

from clm_common.errors import ClmError
from clm_local.processes import process
from clm_local.setup import set_up
from clm_local.state import Run, run_file, save_run
from clm_local.supervisor import Supervisor
from clm_local.system import System

log = structlog.get_logger()

PAUSE = 1.0
"""Seconds until setting up is tried again."""


class Runner:
    """One run of a system; `ready` is set once everything has come up."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._supervisor = Supervisor([system.servers, system.services], self._write)
        self._myself = process(os.getpid())
        self.ready = asyncio.Event()
        self._problem: str | None = None
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Run it until SIGTERM or SIGINT; a second one ends everything at once."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._end)
        self._write()
        setting_up = asyncio.create_task(self._set_up())
        try:
            await self._supervisor.run(self._stop)
        finally:
            setting_up.cancel()
            run_file(self._system.paths).unlink(missing_ok=True)
        log.info("system.stopped")

    async def _set_up(self) -> None:
        while not self.ready.is_set():
            try:
                await set_up(self._system, self._supervisor)
            except ClmError as error:
                log.warning("setup.failed", reason=error.slug, detail=str(error))
                await self._fail(str(error))
            except Exception as error:
                log.exception("setup.broken")
                await self._fail(f"{type(error).__name__}: {error}")
            else:
                self.ready.set()
                self._problem = None
                log.info("system.ready")
                self._write()

    async def _fail(self, problem: str) -> None:
        self._problem = problem
        self._write()
        await asyncio.sleep(PAUSE)

    def _end(self) -> None:
        if self._stop.is_set():
            self._supervisor.kill()
        self._stop.set()

    def _write(self) -> None:
        run = Run(
            self._myself,
            self._supervisor.children,
            self.ready.is_set(),
            self._system.kafka,
            self._system.database,
            self._problem,
        )
        save_run(self._system.paths, run)
