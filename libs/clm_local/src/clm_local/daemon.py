"""One supervisor a data directory: its lock, and how it leaves the terminal that started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import traceback
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NoReturn

from clm_local.errors import LocalError
from clm_local.paths import Paths


@contextlib.contextmanager
def alone(paths: Paths) -> Generator[None]:
    """Be the only supervisor of the data directory while the block runs.

    A process forked within the block holds the lock too: it passes from `clm up` to the daemon
    without a gap.

    Raises:
        LocalError: there is another one.
    """
    descriptor = os.open(_lock_file(paths), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise LocalError(
            "already-running", f"Another `clm up` works on {paths.data} just now."
        ) from error
    finally:
        os.close(descriptor)


def taken(paths: Paths) -> bool:
    """Whether somebody holds the lock: a supervisor, or a `clm up` on its way to become one."""
    try:
        descriptor = os.open(_lock_file(paths), os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def detach(work: Callable[[], int], *, log: Path) -> None:
    """Run `work` in a daemon: no terminal, no parent, its output in the log; return at once."""
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    _become_daemon(work, log)


def _become_daemon(work: Callable[[], int], log: Path) -> NoReturn:
    """Work and end, without ever returning into the program that was forked."""
    code = 1
    try:
        os.chdir("/")
        os.umask(0o077)
        nothing = os.open(os.devnull, os.O_RDONLY)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work()
    except BaseException:  # noqa: BLE001  (whatever it is, it belongs in the log)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _lock_file(paths: Paths) -> Path:
    return paths.data / "supervisor.lock"
