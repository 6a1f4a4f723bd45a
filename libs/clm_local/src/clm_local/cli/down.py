"""`clm down` and `clm reset`: stop everything; and remove it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

from clm_local import daemon, paths, processes, state
from clm_local.cli import screen
from clm_local.errors import LocalError
from clm_local.paths import Paths
from clm_local.state import Run

PATIENCE = 60.0
OURS = ("kafka", "postgres", "mail", "logs", "keys", "demo", "workspace.json", "run.json")
"""What the commands make in a data directory; nothing else is ever removed."""


def run() -> None:
    """Stop everything, and say so."""
    place = paths.find()
    stopped = stop(place)
    screen.out.print("Stopped; nothing is left." if stopped else "Nothing was running.")


def stop(place: Paths) -> bool:
    """Stop everything in order, end what a crash has left, and tell whether there was anything.

    Raises:
        LocalError: something cannot be stopped.
    """
    if not place.data.exists():
        return False
    found = state.load_run(place)
    if found and found.running:
        _stop_supervisor(found)
    known = found.processes() if found else []
    left = processes.left_of(place.data, known)
    stubborn = processes.end(left, patience=15.0)
    if stubborn:
        pids = ", ".join(str(it.pid) for it in stubborn)
        raise LocalError("cannot-stop", f"Still running: {pids}. End them as their user.")
    state.run_file(place).unlink(missing_ok=True)
    return bool(left) or (found is not None)


def reset(*, yes: bool, downloads: bool) -> None:
    """Stop everything and remove what was made."""
    place = paths.find()
    if not place.data.exists():
        screen.out.print(f"There is nothing in {place.data}.")
        return
    screen.confirm(f"Remove all data, keys and logs in {place.data}?", yes=yes)
    stop(place)
    with daemon.alone(place):
        for name in (*OURS, *(["downloads"] if downloads else [])):
            _remove(place.data / name)
    (place.data / "supervisor.lock").unlink(missing_ok=True)
    if not any(place.data.iterdir()):
        place.data.rmdir()
    screen.out.print("Removed. `clm up` starts afresh.")


def _stop_supervisor(found: Run) -> None:
    with screen.out.status("Stopping"):
        found.supervisor.signal(signal.SIGTERM)
        if found.supervisor.wait(PATIENCE):
            return
        found.supervisor.signal(signal.SIGTERM)  # the second one ends everything at once
        if found.supervisor.wait(PATIENCE):
            return
        found.supervisor.signal(signal.SIGKILL)
        found.supervisor.wait(PATIENCE)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
