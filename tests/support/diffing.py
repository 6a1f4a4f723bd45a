"""A process that works off diffs as stage-engine's do, and stops short of a person: to be killed.

Run: `python -m tests.support.diffing URL FOLDER PEOPLE`, with the lifecycle `shop` in the folder.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from clm_common.store.database import Database
from clm_stage_engine import definitions
from clm_stage_engine.app import make_board
from clm_stage_engine.changing.jobs import Diffs
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.governing import Board
from clm_stage_engine.queries import people
from clm_stage_engine.queries.people import FIRST, Among, Person
from clm_stage_engine.running import chosen, known
from clm_stage_engine.store import SCHEMA

LEASE = 1.0
"""Seconds."""


def board_of(database: Database, folder: Path) -> Board:
    """Give what decides where a folder holds the lifecycle `shop`."""
    every = known([definitions.SHIPPED, folder])
    return make_board(database, chosen(every, "shop"), shipped(), every)


async def main(url: str, folder: Path, after: int) -> None:
    """Work, and wait for ever after so many people."""
    everybody = people.people

    async def some(
        database: Database, among: Among, start: object = FIRST
    ) -> AsyncGenerator[Person]:
        seen = 0
        assert start == FIRST
        async for person in everybody(database, among):
            if seen == after:
                await asyncio.Event().wait()
            seen += 1
            yield person

    people.people = some  # type: ignore[assignment] # the same, for who begins at the first
    async with Database(url, schema=SCHEMA, name="killed", seconds=people.SECONDS) as database:
        board = board_of(database, folder)
        diffs = Diffs(database, board, owner="killed", lease=LEASE, every=0.05)
        await diffs.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
