"""`clm logs`: the end of a log, and how it goes on."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from clm_local import child, paths, system
from clm_local.errors import LocalError

PULSE = 0.2


def run(name: str, *, follow: bool, lines: int) -> None:
    """Print the last lines, then, if asked, every new one until ctrl-C."""
    log = system.log_path(paths.find(), name)
    if not log.exists():
        raise LocalError(
            "no-log", f"{name} has not run yet: there is no {log}. Start with `clm up`."
        )
    size = log.stat().st_size
    if lines:
        sys.stdout.write(child.tail(log, lines) + "\n")
    if follow:
        _follow(log, size)


def _follow(log: Path, position: int) -> None:
    try:
        while True:
            sys.stdout.flush()
            time.sleep(PULSE)
            if log.stat().st_size < position:
                position = 0  # it was set aside and begins anew
            with log.open("rb") as file:
                file.seek(position)
                new = file.read()
            position += len(new)
            sys.stdout.write(new.decode(errors="replace"))
    except KeyboardInterrupt:
        return
