"""The documents' examples of subscribers as processes, and what they make of the stage changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import sys
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.support import node

EXAMPLES: Final = node.ROOT / "docs" / "examples" / "stage-changes"
CLASSES: Final = node.ROOT / "docs" / "reference" / "clients"
WITHIN: Final = 120.0

Stages = dict[str, str]
"""The stage by profile."""


class Subscriber(Protocol):
    """An example, as a user has copied it into a folder."""

    def command(self, bootstrap: str, *topics: str) -> list[str]:
        """Give the command that runs it."""
        ...

    def stages(self) -> Stages:
        """Tell what it has made of the stage changes up to now."""
        ...

    @property
    def folder(self) -> Path:
        """Where it runs."""
        ...

    @property
    def printed(self) -> Path:
        """Where its standard output goes."""
        ...


class InPython:
    """The example that keeps stages in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = folder / "printed"
        for path in (*EXAMPLES.glob("*.py"), *CLASSES.glob("*.py")):
            shutil.copy(path, folder)

    def command(self, bootstrap: str, *topics: str) -> list[str]:
        """Give the command that runs it."""
        return [sys.executable, "subscriber.py", bootstrap, "stages.sqlite", *topics]

    def stages(self) -> Stages:
        """Ask its database."""
        path = self.folder / "stages.sqlite"
        if not path.exists():
            return {}
        with contextlib.closing(sqlite3.connect(path)) as database:
            try:
                return dict(database.execute("SELECT profile_id, stage FROM stage"))
            except sqlite3.OperationalError:  # the tables are not there yet, or it is just writing
                return {}

    def kept_of(self, profiles: Iterable[str]) -> int:
        """Count the changes that its database has of these profiles."""
        with contextlib.closing(sqlite3.connect(self.folder / "stages.sqlite")) as database:
            rows = database.execute("SELECT profile_id FROM stage_change").fetchall()
        return sum(profile in set(profiles) for (profile,) in rows)


class InNode:
    """The example that prints stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.printed = folder / "printed"
        shutil.copy(EXAMPLES / "subscriber.mjs", folder)
        (folder / "node_modules").symlink_to(node.install(EXAMPLES) / "node_modules")

    def command(self, bootstrap: str, *topics: str) -> list[str]:
        """Give the command that runs it."""
        return [str(node.NODE), "subscriber.mjs", bootstrap, *topics]

    def stages(self) -> Stages:
        """Read what it has printed; of the last run only, and whole lines only."""
        if not self.printed.exists():
            return {}
        whole, _, _ = self.printed.read_text().rpartition("\n")
        told = {it["profile_id"]: it["stage"] for it in map(json.loads, whole.splitlines())}
        return {profile: stage for profile, stage in told.items() if stage is not None}

    def kept_of(self, profiles: Iterable[str]) -> int:
        """Count those of these profiles of whom the last line it printed has a stage."""
        return len(set(profiles) & self.stages().keys())


@asynccontextmanager
async def running(it: Subscriber, bootstrap: str, *topics: str) -> AsyncGenerator[None]:
    """Run a subscriber, and kill it in the end."""
    with it.printed.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *it.command(bootstrap, *topics), cwd=it.folder, stdout=out
        )
    try:
        yield
        assert process.returncode is None, f"{it.command(bootstrap)} has ended"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(it: Subscriber, reached: Callable[[Stages], bool]) -> Stages:
    """Wait until a subscriber's stages are such."""
    async with asyncio.timeout(WITHIN):
        while not reached(stages := it.stages()):  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.1)
    return stages
