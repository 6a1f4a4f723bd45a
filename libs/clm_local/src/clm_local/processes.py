"""Which process is meant: a pid and the instant it was born, as pids are used again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import psutil
from msgspec import Struct

MARK = "LIFECYCLE_DATA_DIR"
"""The environment variable that every child of ours carries; its value is the data directory."""

POLL = 0.02


class Process(Struct, frozen=True):
    """One process of this machine since it was booted.

    Attributes:
        pid: its process id.
        born: when it was started; opaque, only good for comparing.
    """

    pid: int
    born: str

    @property
    def alive(self) -> bool:
        """Whether it still runs; a zombie does not, nor does the next process with its pid."""
        return birth(self.pid) == self.born

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if not self.alive:
            return
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended, and tell whether it has."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL)
        return True


def process(pid: int) -> Process:
    """Name a process that runs now."""
    return Process(pid, birth(pid) or "")


def birth(pid: int) -> str | None:
    """Give the instant a process was born, None if it does not run (any more)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _portable_birth(pid)
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else f"{_boot()}:{fields[18]}"


def left_of(data: Path, known: Iterable[Process] = ()) -> list[psutil.Process]:
    """Give every process that still works for this data directory.

    Those are the ones known by name, those that carry our mark, and those that run a program of
    the directory or work inside it (PostgreSQL hides its environment).
    """
    pids = {it.pid for it in known if it.alive}
    mine = {os.getpid(), *(it.pid for it in psutil.Process().parents())}
    others = (it for it in psutil.process_iter() if it.pid not in mine)
    return [it for it in others if it.pid in pids or _works_for(it, data)]


def is_postgres(pid: int, data: Path) -> bool:
    """Whether this is a PostgreSQL that runs on the directory; a zombie is none."""
    try:
        return birth(pid) is not None and _is_postgres(psutil.Process(pid), data)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def end(processes: Iterable[psutil.Process], *, patience: float = 5.0) -> list[psutil.Process]:
    """Ask processes to end, then kill them, and give those that are still there."""
    _, stubborn = psutil.wait_procs(_each(processes, signal.SIGTERM), timeout=patience)
    _, left = psutil.wait_procs(_each(stubborn, signal.SIGKILL), timeout=patience)
    return [it for it in left if birth(it.pid) is not None]


def _each(processes: Iterable[psutil.Process], number: signal.Signals) -> list[psutil.Process]:
    found = list(processes)
    for it in found:
        try:
            it.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    return found


def _works_for(it: psutil.Process, data: Path) -> bool:
    if birth(it.pid) is None:
        return False
    try:
        return it.environ().get(MARK) == str(data) or _inside(it, data)
    except psutil.AccessDenied:
        return False
    except psutil.NoSuchProcess:
        return False


def _inside(it: psutil.Process, data: Path) -> bool:
    """Whether it is a server of the directory, not just a person's shell that stands in it."""
    return Path(it.exe() or "/").is_relative_to(data) or _is_postgres(it, data)


def _is_postgres(it: psutil.Process, data: Path) -> bool:
    return it.name().startswith("postgres") and Path(it.cwd() or "/").is_relative_to(data.resolve())


def _portable_birth(pid: int) -> str | None:
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else str(found.create_time())
    except psutil.NoSuchProcess:
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii")[:8]
