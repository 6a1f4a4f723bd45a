"""Programs of the services, run in this terminal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from clm_local.cli import screen


def run(
    module: str,
    arguments: Sequence[str],
    told: Mapping[str, str],
    *,
    interrupted: str = "Interrupted. Run the same command again to go on.",
) -> None:
    """Run a program; ends with its exit code if that is not 0.

    Args:
        module: the program.
        arguments: its arguments.
        told: its environment.
        interrupted: what to say after ctrl-C.
    """
    argv = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(argv, env=dict(told), check=False)  # noqa: S603 - our own
    except KeyboardInterrupt:
        screen.fail(interrupted, code=130)
    if done.returncode:
        raise SystemExit(done.returncode)
