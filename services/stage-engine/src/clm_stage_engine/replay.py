"""`python -m clm_stage_engine.replay` rebuilds profiles from the stored history and compares.

It reads the settings of stage-engine. Progress goes to standard error, the answer to standard
output. With `--checkpoint` it writes down how far it is; the same command then goes on. It ends
with 1 where somebody differs and was not mended, with 75 where a server is away or stage-engine
mends nobody, with 78 for wrong settings, with 130 when interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.clock import SystemClock
from clm_common.contracts.topics import PARTITIONS
from clm_common.errors import SettingsError
from clm_common.runtime.errand import Errand
from clm_common.store.database import Database
from clm_common.store.migrations import check
from clm_stage_engine import definitions
from clm_stage_engine.app import make_board
from clm_stage_engine.changing.progress import Progress, read
from clm_stage_engine.channel_file import load_channels, own_channels
from clm_stage_engine.queries.people import SECONDS
from clm_stage_engine.rebuilding import Difference, Place, Rebuilding, Stand
from clm_stage_engine.running import chosen, known
from clm_stage_engine.settings import Settings
from clm_stage_engine.store import SCHEMA, mending
from clm_stage_engine.store.mending import Among

_DIFFERS: Final = 1


class Order(Struct, frozen=True):
    """What the command line says.

    Attributes:
        among: who is looked at.
        swap: whether whoever differs is mended.
        examples: how many of them are shown.
        checkpoint: where to write down how far it is.
        restart: whether what is written there is forgotten.
        as_json: whether the answer is JSON.
    """

    among: Among
    swap: bool
    examples: int
    checkpoint: Path | None
    restart: bool
    as_json: bool


async def replay(settings: Settings, order: Order) -> Place:
    """Rebuild and compare, from where an earlier run ended if that was written down.

    Raises:
        SettingsError: the schema is not this release's, or the checkpoint is of something else.
        DefinitionError: a definition cannot be right.
        Unavailable: PostgreSQL is away, or nobody mends whom is marked.
    """
    own = (settings.lifecycle_dir,) if settings.lifecycle_dir else ()
    every = known((definitions.SHIPPED, *own))
    running = chosen(every, settings.main_lifecycle)
    channels = load_channels(*own_channels(own))
    async with Database.of(settings, SCHEMA, size=3, seconds=SECONDS) as database:
        await check(database, package="clm_stage_engine")
        board = make_board(database, running, channels, every)
        await board.refresh()
        place = _begin(order)
        async with database.connection() as db:
            left = await mending.count(db, order.among, place.after)
        progress = Progress(left, place, order.checkpoint)
        rebuilding = Rebuilding(database, board.rules, channels, SystemClock(), place)
        try:
            await rebuilding.run(progress, examples=order.examples)
        finally:
            progress.write_down()
    if order.checkpoint is not None:
        order.checkpoint.unlink(missing_ok=True)
    return place


def _begin(order: Order) -> Place:
    path = order.checkpoint
    if path is None or order.restart or not path.exists():
        return Place(order.among, order.swap)
    place = read(path, Place, "replay")
    if (place.among, place.swap) != (order.among, order.swap):
        message = f"{path} is of other people; name another file, or --restart"
        raise SettingsError("replay.checkpoint", message)
    sys.stderr.write(f"going on after {place.same + sum(place.differed.values()):,} people\n")
    return place


def written(place: Place) -> str:
    """Write the answer for people."""
    return "\n".join(_lines(place)) + "\n"


def _lines(place: Place) -> Iterator[str]:
    differed = sum(place.differed.values())
    yield f"{place.same:,} people are as their history says, {differed:,} were not."
    for kind, people in sorted(place.differed.items()):
        yield f"  {kind:<12}{people:,}"
    if place.swap and differed:
        yield f"{place.mended:,} of them were mended."
    elif differed:
        yield "Nothing was changed; --swap has them folded again, and publishes the corrections."
    yield from map(_line, place.sample)


def _line(it: Difference) -> str:
    stood, stands = _told(it.live), _told(it.rebuilt)
    return f"{it.profile_id}  {it.kind}: {stood}; rebuilt: {stands}; {it.corrections} corrections"


def _told(it: Stand) -> str:
    return f"{it.stage or '-'} since {it.since or '-'}, {it.touchpoints:,} touchpoints"


def _order_of(arguments: Sequence[str] | None) -> Order:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m clm_stage_engine.replay")
    parser.add_argument("--swap", action="store_true", help="mend whoever differs")
    parser.add_argument("--workspace", help="only this workspace's people")
    parser.add_argument("--partition", type=int, action="append", choices=range(PARTITIONS))
    parser.add_argument("--profile", type=UUID, action="append", metavar="ID", help="only this one")
    parser.add_argument("--examples", type=int, default=10, metavar="N", help="people shown")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="how far it is")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if not 0 <= given.examples <= 1_000:  # noqa: PLR2004 - said in the message
        parser.error("--examples is from 0 to 1000")
    return Order(
        Among(given.workspace, given.partition, given.profile),
        given.swap,
        given.examples,
        given.checkpoint,
        given.restart,
        given.json,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay as the command line says; gives the exit code."""
    order = _order_of(arguments)
    goes_on = "; the same command goes on" if order.checkpoint else ""
    errand = Errand("stage-engine", Settings, goes_on)
    return errand.run(lambda settings: replay(settings, order), lambda it: _tell(it, order))


def _tell(place: Place, order: Order) -> int:
    text = msgspec.json.encode(place).decode() + "\n" if order.as_json else written(place)
    sys.stdout.write(text)
    return _DIFFERS if sum(place.differed.values()) > place.mended else 0


if __name__ == "__main__":
    sys.exit(main())
