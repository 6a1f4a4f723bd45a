"""Giants are folded again beside the batches of their partition, which go on meanwhile.

Whoever was put off (`giants`) stands in the rows as due. They are read at one instant, folded in a
thread, and what follows is written by a batch once it is there, provided that their version is the
one that was read. Nothing is kept but in memory: after a crash they are due still.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from clm_common.store.database import Database, unhurried
from clm_stage_engine.advancing import beside
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.folding import refold
from clm_stage_engine.gathering import load_pasts
from clm_stage_engine.giants import is_put_off
from clm_stage_engine.journal import Journal, Piece
from clm_stage_engine.kept import Folded
from clm_stage_engine.profiles import Entry
from clm_stage_engine.rules import Rules
from clm_stage_engine.store import reading

STUBBORN: Final = 3
"""Times that somebody may have changed meanwhile; then their partition waits for their folding."""


class Aside:
    """One partition's giants, folded one after the other."""

    def __init__(self, database: Database, partition: int, channels: Channels) -> None:
        """Begin with nobody.

        Args:
            database: stage-engine's schema, for the connection that reads.
            partition: whose owner watches their deadlines.
            channels: tells where touchpoints came from.
        """
        self._database = database
        self._partition = partition
        self._channels = channels
        self._folding: tuple[UUID, asyncio.Task[Folded | None]] | None = None
        self._missed = Counter[UUID]()
        self._running: set[asyncio.Task[Folded | None]] = set()

    def part(self, rules: Rules, due: Sequence[Entry]) -> tuple[Sequence[Entry], Sequence[Folded]]:
        """Part whom the batch has to look at from giants; give what has been folded of these.

        Args:
            rules: what decides.
            due: those who are due.

        Raises:
            ClmError: why somebody could not be read; they will be once more.
        """
        giants = {it.id: it for it in due if is_put_off(it)}
        self._missed = Counter({it: self._missed[it] for it in giants})
        folded = self._folded(rules, giants)
        for it in folded:
            del giants[it.after.id]
        waiting = [it for it in giants if self._missed[it] < STUBBORN]
        if self._folding is None and waiting:
            self._begin(rules, waiting[0])
        spared = {*waiting, *(it.after.id for it in folded)}
        return [it for it in due if it.id not in spared], folded

    def _begin(self, rules: Rules, each: UUID) -> None:
        task = asyncio.create_task(self._fold(rules, each))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._folding = each, task

    def forget(self) -> None:
        """Give up what is on its way; whoever is due will be folded anew."""
        if self._folding is not None:
            self._folding[1].cancel()
            self._folding = None

    async def close(self) -> None:
        """Give up, and wait until nothing is read any more."""
        self.forget()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _folded(self, rules: Rules, giants: dict[UUID, Entry]) -> Sequence[Folded]:
        """Give what has been folded and is true still."""
        if self._folding is None or not self._folding[1].done():
            return ()
        (each, task), self._folding = self._folding, None
        found = task.result()
        if each not in giants:
            return ()
        if found and found.rules is rules and found.before == giants[each].version:
            return (found,)
        self._missed[each] += 1
        return ()

    async def _fold(self, rules: Rules, each: UUID) -> Folded | None:
        """Read and fold somebody; None where they need not be folded any more."""
        async with self._database.snapshot() as tx, unhurried(tx):
            found = await beside(tx, rules, await reading.load_profiles(tx, [each]))
            entry = next((it for it in found if is_put_off(it)), None)
            if entry is None:
                return None
            pasts = await load_pasts(tx, [each])
        journal = Journal(self._partition, 1, self._channels)
        course, others = rules.course(entry.workspace, each), rules.others(entry.workspace, each)
        after = await asyncio.to_thread(
            refold, course, entry, pasts[each], (), journal, others=others
        )
        return Folded(rules, entry.version, after, journal.pieces().get(each, Piece()))
