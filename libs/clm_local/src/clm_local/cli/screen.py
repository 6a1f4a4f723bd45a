"""What the commands print: one console, one way to fail, the words for states."""

from __future__ import annotations

import os
import shutil
import sys
from typing import NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

WIDE = 160
"""Columns where nobody says how many there are: a file or another program reads it."""


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, highlight=False, width=width)


out = _console()
err = _console(stderr=True)

GOOD = "[green]✓[/]"
BAD = "[red]✗[/]"
SOON = "[yellow]…[/]"


def command() -> str:
    """Give what a person types for `clm`: the name alone where the shell finds it."""
    return "clm" if shutil.which("clm") else os.path.relpath(sys.argv[0])


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Say what is wrong and end with a code other than 0."""
    err.print(f"[bold red]error:[/] {escape(message)}")
    raise SystemExit(code)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone, unless `--yes` was given."""
    if not yes and not (err.is_terminal and typer.confirm(question, err=True)):
        fail("Nothing was done. Add --yes to go ahead.")


def document(value: object) -> None:
    """Write one JSON document to standard output, for programs."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
