"""A program's process, forked from one that has imported it: to import a service takes 2 s of CPU.

From there on it is what `python -m` makes of it: a process of its own, with its own environment,
output and exit code, that is signalled and killed like any other. That `python -m` starts each
service is shown by every test that runs `clm up`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pkgutil
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Final, Protocol

from clm_local import cli

CLM: Final = "clm"

FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "clm_ingest.app",
        "clm_stage_engine.app",
        "clm_metrics.app",
        "clm_engagement.app",
        "clm_common.store.upgrading",
        *(f"{cli.__name__}.{it.name}" for it in pkgutil.iter_modules(cli.__path__)),
    ]
)


class Running(Protocol):
    """A running process, as asyncio's own are."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    def kill(self) -> None: ...

    def terminate(self) -> None: ...

    async def wait(self) -> int: ...


class Start(Protocol):
    """Starts what `python -m module` starts, with only these CLM_* variables."""

    async def __call__(self, module: str, told: Mapping[str, str], *arguments: str) -> Running: ...


async def execute(module: str, told: Mapping[str, str], *arguments: str) -> Running:
    """Start a program as people do, for what is measured: it has nothing of ours in memory."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env=inherited() | dict(told),
        stdout=asyncio.subprocess.PIPE,
    )


class Forked:
    """A running process."""

    def __init__(self, process: ForkServerProcess, stdout: asyncio.StreamReader) -> None:
        self._process = process
        self.stdout = stdout

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus the signal if one ended it; None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    async def wait(self) -> int:
        """Wait until it has ended, and give its exit code."""
        while (code := self.returncode) is None:  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.01)
        return code


async def fork(module: str, told: Mapping[str, str], *arguments: str) -> Forked:
    """Start what `python -m module` starts, with only these CLM_* variables.

    What it writes to standard error goes where ours goes.
    """
    environment = inherited() | dict(told)
    read_end, write_end = os.pipe()
    ends = Connection(write_end, readable=False), Connection(os.dup(2), readable=False)
    process = FORKS.Process(target=_run, args=(module, arguments, environment, *ends), daemon=True)
    await asyncio.to_thread(process.start)
    for end in ends:
        end.close()
    stdout = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdout), os.fdopen(read_end, "rb", 0)
    )
    return Forked(process, stdout)


def inherited() -> dict[str, str]:
    """Give our variables but for those of the system."""
    return {name: text for name, text in os.environ.items() if not name.startswith("CLM_")}


def become(program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Be a program from now on: a module that `python -m` runs, or `CLM`."""
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = [program, *arguments]
    if program == CLM:
        cli.main()
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def _run(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Connection,
    errors: Connection,
) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    become(module, arguments, environment)
