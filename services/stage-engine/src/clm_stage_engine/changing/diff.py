"""`python -m clm_stage_engine.changing.diff FILE` says what a definition would make of people.

It folds the whole stored history by both definitions and changes nothing. It reads the settings of
stage-engine. Progress goes to standard error, the answer to standard output. With `--checkpoint` it
writes down how far it is; the same command then goes on. It ends with 65 where a definition cannot
be right, with 75 where PostgreSQL is away, with 78 for wrong settings, with 130 when interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from msgspec import Struct

from clm_common.clock import SystemClock
from clm_common.errors import SettingsError
from clm_common.instant import to_rfc3339
from clm_common.runtime.errand import Errand
from clm_common.store.database import Database
from clm_common.store.migrations import check
from clm_stage_engine import definitions
from clm_stage_engine.changing import files, table
from clm_stage_engine.changing.comparison import Answer, Comparison, Place, Question
from clm_stage_engine.changing.progress import Progress, read
from clm_stage_engine.changing.sides import tried
from clm_stage_engine.changing.validate import WRONG
from clm_stage_engine.channel_file import load_channels, own_channels
from clm_stage_engine.core.eras import Course, Policy
from clm_stage_engine.governing import Board
from clm_stage_engine.queries import people
from clm_stage_engine.running import chosen, known, published
from clm_stage_engine.settings import Settings
from clm_stage_engine.store import SCHEMA, eras, runs, versions


class Order(Struct, frozen=True):
    """What the command line says.

    Attributes:
        file: the definition that is tried.
        against: a lifecycle's key or file, or a version's number; None for what decides now.
        workspace: whose people; None for all.
        share: of the people.
        each: how many people of a kind of difference are shown.
        checkpoint: where to write down how far it is.
        restart: whether what is written there is forgotten.
        as_json: whether the answer is JSON.
        policy: what becomes of people in flight.
        mapping: for `map` and `drain`, the new stage for old ones.
    """

    file: str
    against: str | None
    workspace: str | None
    share: float
    each: int
    checkpoint: Path | None
    restart: bool
    as_json: bool
    policy: Policy = "re-derive"
    mapping: dict[str, str] = {}


async def diff(settings: Settings, order: Order) -> Answer:
    """Compare, from where an earlier run ended if that was written down.

    Raises:
        DefinitionError: a definition cannot be right.
        SettingsError: the schema is not this release's, or the checkpoint is of something else.
        Unavailable: PostgreSQL is away.
    """
    own = (settings.lifecycle_dir,) if settings.lifecycle_dir else ()
    folders = (definitions.SHIPPED, *own)
    lifecycle = files.read(order.file, folders)
    async with Database.of(settings, SCHEMA, size=2, seconds=people.SECONDS) as database:
        await check(database, package="clm_stage_engine")
        against = await _against(database, settings, order, folders, lifecycle.key)
        question = Question(
            lifecycle.digest,
            against.name,
            order.workspace,
            order.share,
            order.each,
            order.policy,
            order.mapping,
        )
        place = _begin(order, question)
        side = tried(lifecycle, against, order.policy, order.mapping, place.until)
        comparison = Comparison(side, against, place)
        left = await people.count(database, comparison.among, place.after)
        progress = Progress(left, place, order.checkpoint)
        try:
            answer = await comparison.run(database, progress)
        finally:
            progress.write_down()
    if order.checkpoint is not None:
        order.checkpoint.unlink(missing_ok=True)
    return answer


async def _against(
    database: Database, settings: Settings, order: Order, folders: Sequence[Path], of: str
) -> Course:
    """Give what is held against: what decides now, a version, a lifecycle by its key, or a file.

    What decides now is the lifecycle of the same key as what is tried, where one runs, else the
    main one.
    """
    named, workspace = order.against, order.workspace
    if named is not None and not named.isdecimal():
        return Course.of(files.read_or_choose(named, folders))
    every = known(folders)
    async with database.connection() as db:
        acts = [it for it in await runs.newest(db) if it.key == of and it.action == "start"]
        published_there = await eras.deciding(db, of, workspace) if acts else []
    main = chosen(every, settings.main_lifecycle)
    beside = bool(acts) and (of in every or bool(published_there))
    key = of if beside else main.lifecycle.key
    running = every.get(key, main)
    channels = load_channels(*own_channels(folders))
    board = Board(running, compile_=lambda text, number: published(text, number, channels))
    async with database.connection() as db:
        if named is not None and workspace is not None:
            version = await versions.get(db, workspace, key, int(named))
            return Course.of(board.compile(version.yaml))
        deciding = await eras.deciding(db, key)
    whole = {it.workspace: it for it in deciding if it.share is None}
    if named is not None or (workspace is None and whole):
        message = "workspaces have versions of their own; name one with --workspace"
        raise SettingsError("diff.workspace", message)
    found = whole.get(workspace or "")
    return running.course if found is None else board.assemble(found).course


def _begin(order: Order, question: Question) -> Place:
    path = order.checkpoint
    if path is None or order.restart or not path.exists():
        return Place(question, SystemClock().now())
    place = read(path, Place, "diff")
    if place.question != question:
        message = f"{path} is of another question; name another file, or --restart"
        raise SettingsError("diff.checkpoint", message)
    begun = to_rfc3339(place.until)
    sys.stderr.write(f"going on after {place.found.people:,} people, as of {begun}\n")
    return place


def _order_of(arguments: Sequence[str] | None) -> Order:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m clm_stage_engine.changing.diff")
    parser.add_argument("file", metavar="FILE", help="the definition to try; - reads stdin")
    parser.add_argument(
        "--against", metavar="KEY|FILE|VERSION", help="by default: what decides now"
    )
    parser.add_argument("--workspace", help="only this workspace's people")
    parser.add_argument("--sample", type=float, default=1.0, metavar="SHARE", help="0.01: 1 in 100")
    parser.add_argument("--examples", type=int, default=3, metavar="N", help="people of each kind")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="how far it is")
    parser.add_argument("--policy", choices=get_args(Policy), default="re-derive")
    parser.add_argument("--map", action="append", default=[], metavar="OLD=NEW", dest="mapping")
    parser.add_argument("--restart", action="store_true", help="forget the checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    if not 0 < given.sample <= 1:
        parser.error("--sample is more than 0 and at most 1, for example 0.01")
    if not 0 <= given.examples <= 100:  # noqa: PLR2004 - said in the message
        parser.error("--examples is from 0 to 100")
    return Order(
        given.file,
        given.against,
        given.workspace,
        given.sample,
        given.examples,
        given.checkpoint,
        given.restart,
        given.json,
        given.policy,
        dict(_pair(it, parser) for it in given.mapping),
    )


def _pair(text: str, parser: argparse.ArgumentParser) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        parser.error(f"--map {text}: write OLD=NEW, an old stage and the new one")
    return old, new


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare as the command line says; gives the exit code."""
    order = _order_of(arguments)
    goes_on = "; the same command goes on" if order.checkpoint else ""
    errand = Errand("stage-engine", Settings, goes_on, wrong=WRONG)
    return errand.run(lambda settings: diff(settings, order), lambda it: _tell(it, order))


def _tell(answer: Answer, order: Order) -> int:
    sys.stdout.write(table.written(answer, as_json=order.as_json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
