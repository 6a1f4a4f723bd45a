"""Works off the diffs that were asked for over HTTP: every process has a part, one at a time.

It runs the comparison that `clm lifecycle diff` runs, and writes down once a second how far it is,
in the row that holds the lease. A process that ends gives its diff back; of one that died it is
anybody's when the lease runs out. Whoever takes it up goes on from what was written.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from time import perf_counter
from typing import Final

import msgspec
import structlog

from clm_common.errors import DefinitionError, RaceLost, Rejected, Unavailable
from clm_common.instant import from_datetime
from clm_common.runtime.retry import Backoff, pause
from clm_common.store.database import Database
from clm_stage_engine.changing.comparison import Comparison, Place, Question
from clm_stage_engine.changing.sides import held_against, tried
from clm_stage_engine.governing import Board
from clm_stage_engine.queries import people
from clm_stage_engine.store import diffs, versions
from clm_stage_engine.store.diffs import Diff, How

log = structlog.get_logger()

EVERY: Final = 1.0
"""Seconds between two looks for a diff, and between two times that one in hand is written down."""

SLICE: Final = 0.02
"""Seconds of work after which it rests as long as it worked: live traffic has the other half."""


class Diffs:
    """One process's part in working off diffs; `run` it as a task."""

    def __init__(
        self, database: Database, board: Board, *, owner: str, lease: float, every: float = EVERY
    ) -> None:
        """Make it.

        Args:
            database: stage-engine's schema; made with `seconds=people.SECONDS`.
            board: reads versions, and says which decide.
            owner: names this process.
            lease: seconds after which a diff of a process that is silent is anybody's.
            every: seconds between two looks.
        """
        self._database = database
        self._board = board
        self._owner = owner
        self._lease = lease
        self._every = every

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is in hand then is given back."""
        backoff = Backoff("diffs")
        while not stop.is_set():
            try:
                if not await self._turn(stop):
                    await pause(stop, self._every)
                backoff.succeeded()
            except (Unavailable, RaceLost) as error:
                await backoff.wait_or_stop(error, stop)

    async def _turn(self, stop: asyncio.Event) -> bool:
        """Take up a diff and work on it; tell whether there was one."""
        async with self._database.connection() as db:
            diff = await diffs.claim(db, self._owner, self._lease)
            if diff is None:
                return False
            await diffs.purge(db)
        try:
            await self._work(diff, await self._comparison(diff), stop)
        except (DefinitionError, Rejected) as error:
            await self._fail(diff, error.message)
        except (Unavailable, RaceLost):
            raise
        except Exception:
            log.exception("diff.failed", diff=str(diff.id))
            await self._fail(diff, "an error of the program; its log says more")
        return True

    async def _comparison(self, diff: Diff) -> Comparison:
        """Begin, or go on from what was written.

        Raises:
            DefinitionError: one of the definitions cannot be right by this release.
            Rejected: another definition decides now than when it was begun.
        """
        await self._board.refresh()
        asked, until = diff.asked, from_datetime(diff.asked_at)
        async with self._database.connection() as db:
            version = await versions.get(db, diff.workspace, diff.key, diff.number)
            against = await held_against(db, self._board, diff.workspace, diff.key, asked.against)
        lifecycle = self._board.compile(version.yaml)
        question = Question(
            lifecycle.digest,
            against.name,
            diff.workspace,
            asked.share,
            asked.each,
            asked.policy,
            asked.mapping,
        )
        place = Place(question, until)
        if diff.place is not None:
            place = msgspec.json.decode(diff.place, type=Place)
        if place.question != question:
            message = "another definition decides now than when it was begun; ask again"
            raise Rejected(409, "diff.outdated", message)
        side = tried(lifecycle, against, asked.policy, asked.mapping, until)
        return Comparison(side, against, place)

    async def _work(self, diff: Diff, comparison: Comparison, stop: asyncio.Event) -> None:
        """Compare until it is done, cancelled, somebody else's, or this process is to stop."""
        place = comparison.place
        left = await people.count(self._database, comparison.among, place.after)
        total = place.found.people + left
        work = asyncio.create_task(self._compare(comparison))
        stopping = asyncio.create_task(stop.wait())
        ours = True
        try:
            while ours and not work.done() and not stop.is_set():
                how = How(place.found.people, total, msgspec.json.encode(place))
                async with self._database.connection() as db:
                    ours = await diffs.keep(db, diff, how, self._lease)
                await asyncio.wait(
                    {work, stopping}, timeout=self._every, return_when=asyncio.FIRST_COMPLETED
                )
            async with self._database.connection() as db:
                if work.done():
                    work.result()
                    answer = msgspec.json.encode(comparison.answer())
                    await diffs.finish(db, diff, place.found.people, answer)
                elif ours:
                    how = How(place.found.people, total, msgspec.json.encode(place))
                    await diffs.keep(db, diff, how, self._lease)
                    await diffs.give_back(db, diff)
        finally:
            work.cancel()
            stopping.cancel()
            await asyncio.gather(work, stopping, return_exceptions=True)

    async def _compare(self, comparison: Comparison) -> None:
        began = perf_counter()
        async with aclosing(comparison.steps(self._database)) as steps:
            async for _ in steps:
                worked = perf_counter() - began
                if worked >= SLICE:
                    await asyncio.sleep(worked)
                    began = perf_counter()

    async def _fail(self, diff: Diff, reason: str) -> None:
        async with self._database.connection() as db:
            await diffs.fail(db, diff, reason)
