"""A command that does its work and ends, forked from a process that has imported it; see `forking`.

It is a process of its own all the same, with its own arguments, environment, input and output, and
it ends with an exit code. That a shell starts `clm` and `python -m` each program is tested, too.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.forking import FORKS, become, inherited


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to standard output and error."""

    code: int
    out: str
    told: str


def run(
    command: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    typed: str = "",
    within: float = 300.0,
) -> Done:
    """Run a command to its end.

    Args:
        command: a module that `python -m` runs, or `CLM`.
        arguments: what it is given.
        environment: all its variables.
        typed: what it reads on standard input.
        within: seconds after which it is killed.
    """
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        for name, text in ("in", typed), ("out", ""), ("err", ""):
            (folder / name).write_text(text, encoding="utf-8")
        process = FORKS.Process(
            target=_run, args=(command, arguments, environment, folder), daemon=True
        )
        process.start()
        process.join(within)
        if process.exitcode is None:
            process.kill()
            process.join()
        code = process.exitcode
        assert code is not None
        process.close()
        out, told = ((folder / it).read_text("utf-8") for it in ("out", "err"))
    return Done(code, out, told)


async def program(module: str, *arguments: str, **told: str) -> Done:
    """Run what `python -m module` runs, with only these CLM_* variables."""
    return await asyncio.to_thread(run, module, arguments, inherited() | told)


def _run(
    command: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> None:
    for number, name in enumerate(("in", "out", "err")):
        file = os.open(folder / name, os.O_RDONLY if number == 0 else os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - there was none
    become(command, arguments, environment)
