"""Become another program that dies with its parent: the last step before every child runs.

Called by path with `python -I -S`, so it needs nothing but the standard library:
`shim.py PARENT SIGNAL USER LOCK WAIT -- PROGRAM ARGUMENT …`, with `-` for no user or no lock.

It drops to the user, asks the kernel for SIGNAL when the parent ends (a change of user would clear
that wish, so this comes second), makes sure that the parent is still there, takes the lock and
becomes the program. The lock's descriptor stays open in the program: the lock is held exactly as
long as the program lives, so two servers on one directory are impossible.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
TEMPORARY_FAILURE = 75  # EX_TEMPFAIL of sysexits.h
CANNOT_EXECUTE = 126


def heed_signals() -> None:
    """Stop ignoring signals: exec would hand that on, whether Python began it or our parent."""
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def drop_to(user: int) -> None:
    """Give up root for good."""
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def die_with(parent: int, death_signal: int) -> None:
    """Have the kernel send the signal when the parent ends, also if it just did."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(TEMPORARY_FAILURE)


def hold(lock: str, wait: float) -> None:
    """Take the lock, waiting for a predecessor that is still stopping, and keep it across exec."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                print(f"{lock} is held by another process that runs on this directory", flush=True)  # noqa: T201  (stdout is the child's log)
                sys.exit(TEMPORARY_FAILURE)
            time.sleep(0.05)
    os.set_inheritable(descriptor, True)


def main(arguments: list[str]) -> None:
    """Become the program; returns never."""
    parent, death_signal, user, lock, wait, _, *program = arguments
    heed_signals()
    if user != "-":
        drop_to(int(user))
    die_with(int(parent), int(death_signal))
    if lock != "-":
        hold(lock, float(wait))
    try:
        os.execvp(program[0], program)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        print(f"cannot run {program[0]}: {error.strerror}", flush=True)  # noqa: T201  (stdout is the child's log)
        sys.exit(CANNOT_EXECUTE)


if __name__ == "__main__":
    main(sys.argv[1:])
