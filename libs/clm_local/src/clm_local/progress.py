"""How long work reports how far it is; what becomes of the reports is the caller's matter."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Report(Protocol):
    """Called often and from any thread: `done` of `total` bytes of `what` are there."""

    def __call__(self, what: str, done: int, total: int, /) -> None:
        """Take note of it."""


def silent(what: str, done: int, total: int, /) -> None:
    """Report to nobody."""


def passing(console: Console) -> Progress:
    """Give a bar that goes away at the end.

    On 60 columns it leaves room for the `^C` of whoever interrupts it: a line that wraps stays.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


@contextlib.contextmanager
def bars(console: Console) -> Generator[Report]:
    """Report to a terminal, one bar for each `what`."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int, /) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield report
