"""What a supervisor needs to run one process, and that process once it runs.

A `Child` is a description: start it with `start`. The process is a session of its own (ctrl-C in a
terminal reaches the supervisor alone), writes to its own log and never outlives the process that
started it (see `shim`). Start children from a thread that lives as long as the children should,
the main thread as a rule: to the kernel the parent is the thread.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from clm_local.errors import LocalError

SHIM = Path(__file__).with_name("shim.py")
LOG_LIMIT = 16 * 1024 * 1024
POLL = 0.05
FREEZE_LIMIT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process to run: how to start it, how to know that it is ready, how to end it.

    Attributes:
        name: what people call it, "kafka".
        argv: the program and its arguments.
        env: its whole environment; nothing else is inherited.
        cwd: its working directory.
        log_path: where its output is appended.
        ready: tells whether it answers; called often, must not raise.
        user: the uid it runs as; None is ours.
        lock: a file that is locked for as long as the process lives.
        stop_signal: asks it to end; also sent when its parent dies.
        stop_timeout: seconds it is given to end before it is killed.
        start_timeout: seconds it is given to become ready.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    log_path: Path
    ready: Callable[[], Awaitable[bool]]
    user: int | None = None
    lock: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 10.0
    start_timeout: float = 60.0


class Running:
    """A started child."""

    def __init__(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        self.child = child
        self.started_at = time.monotonic()
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id, the program's own: the shim has become the program."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Its exit code, minus the signal if one ended it; None while it runs."""
        return self._process.poll()

    async def ended(self) -> int:
        """Wait until it has ended, and give its exit code."""
        while (code := self._process.poll()) is None:
            await _exit_of(self._process.pid)
        return code

    async def until_ready(self) -> float:
        """Wait until it answers, and give the seconds since its start.

        Raises:
            LocalError: it ended, or did not answer in time; its last lines are in the message.
        """
        deadline = self.started_at + self.child.start_timeout
        while not await self.child.ready():
            if self.code is not None:
                raise self._failure(f"ended with code {self.code} before it was ready")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {self.child.start_timeout:.0f} s")
            await asyncio.sleep(POLL)
        return time.monotonic() - self.started_at

    async def stop(self) -> int:
        """Ask it to end, kill it if it does not, and give its exit code."""
        if self.code is None:
            self._process.send_signal(self.child.stop_signal)
        try:
            return await asyncio.wait_for(self.ended(), self.child.stop_timeout)
        except TimeoutError:
            self.kill()
            return await self.ended()

    def kill(self) -> None:
        """Kill -9, with all its descendants: what a loss of power does."""
        self._signal_all(signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks, with all its descendants; `thaw` lets it go on.

        The signal only asks: on a busy machine the threads run on until one of them is scheduled
        and sees it. This waits until none of them runs any more.

        Raises:
            LocalError: it has ended, or would not stop.
        """
        deadline = time.monotonic() + FREEZE_LIMIT
        while self.code is None and time.monotonic() < deadline:
            self._signal_all(signal.SIGSTOP)
            if all(_stopped(process) for process in self._all()):
                return
            time.sleep(0.001)
        raise self._failure("could not be stopped")

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        self._signal_all(signal.SIGCONT)

    def resident(self) -> int:
        """Bytes of memory it holds with its descendants, shared pages counted once each."""
        return sum(_proportional(process) for process in self._all())

    def _all(self) -> list[psutil.Process]:
        try:
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._all():
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    def _failure(self, what: str) -> LocalError:
        return LocalError(
            "start-failed",
            f"{self.child.name} {what}. The end of {self.child.log_path}:\n"
            f"{tail(self.child.log_path)}",
            child=self.child.name,
            log=str(self.child.log_path),
        )


def start(child: Child) -> Running:
    """Start a child; its readiness is another matter, see `Running.until_ready`."""
    _rotate(child.log_path)
    with child.log_path.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603  (the programs are ours)
            shimmed(child.argv, user=child.user, lock=child.lock, death=child.stop_signal),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=child.cwd,
            env=dict(child.env),
            start_new_session=True,
        )
    return Running(child, process)


async def run(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, user: int | None = None
) -> str:
    """Run a program to its end and give its output; it ends with us, too.

    Raises:
        LocalError: its exit code is not 0; the output is in the message.
    """
    process = await asyncio.create_subprocess_exec(
        *shimmed(argv, user=user),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        env=dict(env),
        start_new_session=True,
    )
    try:
        output = (await process.communicate())[0].decode(errors="replace")
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        raise LocalError(
            "command-failed",
            f"{Path(argv[0]).name} ended with code {process.returncode}:\n{output.strip()}",
            argv=list(argv),
        )
    return output


def shimmed(
    argv: Sequence[str],
    *,
    user: int | None = None,
    lock: Path | None = None,
    death: signal.Signals = signal.SIGKILL,
    wait: float = 15.0,
) -> list[str]:
    """Give the command line that becomes `argv` by way of the shim."""
    return [
        sys.executable,
        "-I",
        "-S",
        str(SHIM),
        str(os.getpid()),
        str(int(death)),
        "-" if user is None else str(user),
        "-" if lock is None else str(lock),
        str(wait),
        "--",
        *argv,
    ]


def plain_environment(**more: str) -> dict[str, str]:
    """Give a small environment for a foreign server: no secret of ours, one language, one zone."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "TZ": "UTC"} | more


def tail(path: Path, lines: int = 40) -> str:
    """Give the last lines of a log, or say that there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty)"


def _rotate(log: Path) -> None:
    """Set an overgrown log aside, once."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_suffix(log.suffix + ".1"))


async def _exit_of(pid: int) -> None:
    """Wait until the process ends, or a moment where the system cannot tell us."""
    if not hasattr(os, "pidfd_open"):
        await asyncio.sleep(POLL)
        return
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    descriptor = os.pidfd_open(pid)
    loop.add_reader(descriptor, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _proportional(process: psutil.Process) -> int:
    """Give the process's memory; what n processes share counts 1/n in each."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def _stopped(process: psutil.Process) -> bool:
    """Tell whether none of its threads runs; what has ended does not."""
    try:
        states = {psutil.Process(thread.id).status() for thread in process.threads()}
    except psutil.NoSuchProcess:
        return not process.is_running()
    return states <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}
