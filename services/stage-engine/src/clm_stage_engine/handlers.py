"""The engine on one partition: what a batch of touchpoints, or a deadline, does to whom.

Whoever is only touched by newer touchpoints is advanced from the state in memory. Whoever has a
late touchpoint, one without a time of its own, or an identity that moved, is folded again from the
history, and the difference is published as retractions and assertions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from clm_common import telemetry
from clm_common.bus.ports import Record
from clm_common.clock import Clock
from clm_common.contracts.ids import ANONYMOUS_ID
from clm_common.errors import ClmError
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.relay import Relay
from clm_common.store.offsets import Claim
from clm_stage_engine.batch import Decided
from clm_stage_engine.beside import advance_beside, plain_beside
from clm_stage_engine.cache import Cache
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.identity import Resolution
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.erased import Erased
from clm_stage_engine.erasing import Erasing
from clm_stage_engine.firing import fire
from clm_stage_engine.folding import Claimed, Past, advance_all, news, plain, refold
from clm_stage_engine.forgetting import Forgetting
from clm_stage_engine.gathering import by_profile, load_pasts, named, once, take_in
from clm_stage_engine.giants import apart, given_time
from clm_stage_engine.governing import Board
from clm_stage_engine.journal import Journal
from clm_stage_engine.lateness import Lateness
from clm_stage_engine.profiles import ERASED, Entry, newborn, wakes
from clm_stage_engine.resolving import Resolver
from clm_stage_engine.retention import Retention, Retiring
from clm_stage_engine.store import reading, standings
from clm_stage_engine.store.months import Months
from clm_stage_engine.sweeping import Stretch, Sweeper

DUE: Final = 500
"""Profiles whose deadlines are fired in one batch."""

BEHIND: Final = 5_000
"""Facts waiting to be published at which deadlines wait: new touchpoints queue behind them."""

KEEP_ALL: Final = Keeping()
"""Nothing is dropped, nothing is too late."""

DRAIN: Final = 5.0
"""Seconds given to the relay to publish what is committed when the partition is given up."""


class TouchpointHandler:
    """Decides about one partition of `clm.touchpoints`."""

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        claim: Claim,
        *,
        board: Board,
        channels: Channels,
        identifiers: Identifiers,
        partitions: int,
        relay: Relay,
        clock: Clock,
        months: Months,
        cached_profiles: int,
        erased: Erased,
        keeping: Keeping = KEEP_ALL,
    ) -> None:
        """Make the handler of a partition that was just taken, and start its relay.

        Args:
            claim: the ownership; its `next_seq` numbers the facts.
            board: says which definition decides about whom.
            channels: tells where touchpoints came from.
            identifiers: tells which ids count, and which others a touchpoint names.
            partitions: of the topic; deadlines are watched by the owner of a profile's key.
            relay: publishes the facts.
            clock: tells which deadlines are due.
            months: makes the partitions of the history that a batch needs.
            cached_profiles: how many profiles are kept in memory.
            erased: who must stay out; shared by the partitions of a process.
            keeping: how late touchpoints may come.
        """
        self._claim = claim
        self._board = board
        self._rules = board.rules
        self._sweeper = Sweeper(claim.partition)
        self._channels = channels
        self._identifiers = identifiers
        self._partitions = partitions
        self._relay = relay
        self._clock = clock
        self._months = months
        self._cache = Cache(cached_profiles)
        self._forgetting = Forgetting(erased, self._cache, claim, relay)
        self._retention = Retention(claim.partition, partitions, relay, self._cache)
        self._lateness = Lateness(keeping, self._retention)
        self._retires = False
        self._resolver = Resolver(self._cache, identifiers, erased)
        relay.start_at(claim.next_seq - 1)
        self._relaying = asyncio.create_task(relay.run())

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Decided:
        """Fold records into the profiles they belong to."""
        self._still_relaying()
        self._rules = self._board.rules
        await self._relay.room()
        taken, refused = take_in(records, self._identifiers)
        known = await self._forgetting.sift(tx, taken)
        counted, late = await self._lateness.part(tx, known)
        resolved = await self._resolver.resolve(tx, counted)
        arrivals, resolution = resolved.arrivals, resolved.resolution
        await self._months.cover([it.time for it in arrivals])
        claimed = await once(tx, arrivals, resolution)
        journal = self._journal()
        changed = await self._fold(tx, by_profile(claimed), resolution, journal)
        telemetry.TOUCHPOINTS.labels("applied").inc(len(journal.history))
        telemetry.TOUCHPOINTS.labels("erased").inc(len(taken) - len(known))
        telemetry.TOUCHPOINTS.labels("late").inc(len(late))
        telemetry.TOUCHPOINTS.labels("decision").inc(len(counted) - len(arrivals))
        repeated = len(arrivals) + len(known) - len(counted) - len(late) - len(journal.history)
        telemetry.TOUCHPOINTS.labels("repeated").inc(repeated)
        decided = self._decided(journal, changed, resolution, refused)
        said = [*named(claimed, self._identifiers).values()]
        return replace(decided, named=said, late=late, decisions=resolved.decisions)

    async def wake(self, tx: Connection) -> Decided | Erasing | Retiring | None:
        """Erase whom somebody asked to erase, else fire what is due and fold again who is stale.

        Every other time the people whose oldest touchpoints are to go come first.
        """
        self._still_relaying()
        if self._relay.pending > BEHIND:
            return None
        self._rules = self._board.rules
        now = self._clock.now()
        if (erasing := await self._forgetting.due(tx, now)) is not None:
            return erasing
        self._retires = not self._retires
        if self._retires and (retiring := await self._retention.next(tx, self._rules, now)):
            return retiring
        due = await self._beside(tx, await reading.load_due(tx, self._claim.partition, now, DUE))
        stretch = await self._sweeper.next(tx, self._rules, {it.id for it in due})
        if not due and stretch is None:
            return None
        journal = self._journal()
        stale = [] if stretch is None else stretch.outdated
        changed = await fire(tx, self._rules, due, stale, journal, now)
        nobody = Resolution([], [], [])
        return self._decided(journal, changed, nobody, [], stretch=stretch)

    def forget(self) -> None:
        """Drop what is in memory."""
        self._cache.clear()
        self._sweeper.forget()
        self._retention.forget()

    async def close(self) -> None:
        """Let the relay publish what is committed, then end it."""
        if not self._relaying.done():
            await self._relay.drained(DRAIN)
        self._relaying.cancel()
        with suppress(asyncio.CancelledError, ClmError):
            await self._relaying

    def _journal(self) -> Journal:
        return Journal(self._claim.partition, self._claim.next_seq, self._channels)

    def _course(self, entry: Entry) -> Course:
        """Give the definitions that decide about somebody, by the rules of this batch."""
        return self._rules.course(entry.workspace, entry.id)

    async def _beside(self, tx: Connection, entries: list[Entry]) -> list[Entry]:
        """Give profiles with where they stand beside the main lifecycle, where others ever ran."""
        return await standings.load(tx, entries) if self._rules.several else entries

    def _still_relaying(self) -> None:
        """Raise what ended the relay, if something did."""
        if self._relaying.done():
            self._relaying.result()

    async def _fold(
        self,
        tx: Connection,
        mine: Mapping[UUID, list[Claimed]],
        resolution: Resolution,
        journal: Journal,
    ) -> list[Entry]:
        """Give the next version of every profile that changes."""
        moved = {each for it in resolution.moved for each in (it.source, it.target)}
        entries = await self._load(tx, {*mine, *moved}, resolution)
        changed: list[Entry] = []
        again: dict[UUID, list[Claimed]] = {each: mine.get(each, []) for each in moved}
        for each, claimed in mine.items():
            entry = entries[each]
            lifecycle = plain(self._course(entry), entry, claimed)
            others = self._rules.others(entry.workspace, each)
            ways = None if others is None else plain_beside(others, entry, claimed)
            if each in moved or lifecycle is None or (others is not None and ways is None):
                again[each] = claimed
                continue
            advanced = advance_all(lifecycle, entry, claimed, journal)
            if ways is not None:
                further = advance_beside(ways, entry, claimed, journal)
                advanced = replace(advanced, further=further)
            changed.append(advanced)
        if again:
            changed += await self._fold_again(tx, entries, again, moved, resolution, journal)
        return changed

    async def _fold_again(
        self,
        tx: Connection,
        entries: Mapping[UUID, Entry],
        again: Mapping[UUID, list[Claimed]],
        moved: Collection[UUID],
        resolution: Resolution,
        journal: Journal,
    ) -> list[Entry]:
        telemetry.REFOLDS.inc(len(again))
        stored = sum(entries[each].touchpoints for each in again)
        async with given_time(tx, stored):
            pasts = await load_pasts(tx, list(again), resolution.writes)
            return await self._refold(entries, pasts, again, moved, resolution, journal)

    async def _refold(
        self,
        entries: Mapping[UUID, Entry],
        pasts: Mapping[UUID, Past],
        again: Mapping[UUID, list[Claimed]],
        moved: Collection[UUID],
        resolution: Resolution,
        journal: Journal,
    ) -> list[Entry]:
        for it in resolution.moved:
            emptied = pasts[it.source].is_empty and not again[it.source]
            for each in (it.source, it.target):
                journal.moved(entries[each], it, emptied=emptied)
        changed: list[Entry] = []
        parted = {it.source for it in resolution.moved}
        for each, claimed in again.items():
            entry, past = entries[each], pasts[each]
            entry = replace(entry, parted=True) if each in parted else entry
            size, course = len(past.touches) + len(claimed), self._course(entry)
            others = self._rules.others(entry.workspace, each)
            fresh = await apart(size, news, past, claimed)
            if fresh or each in moved or self._rules.places(entry) is None:
                after = apart(size, refold, course, entry, past, fresh, journal, others=others)
                changed.append(await after)
        return changed

    async def _load(
        self, tx: Connection, ids: Collection[UUID], resolution: Resolution
    ) -> dict[UUID, Entry]:
        """Give the profiles as they stand: from memory, from the rows, or newborn."""
        cached = self._cache.profiles.get
        found = {each: entry for each in ids if (entry := cached(each)) is not None}
        if len(found) == len(ids):
            return found
        missing = [each for each in ids if each not in found]
        loaded = await self._beside(tx, await reading.load_profiles(tx, missing))
        found |= {it.id: it for it in loaded}
        new = {it.row.id: it.row for it in resolution.writes}
        erased = {each for each in missing if each in found and found[each].definition == ERASED}
        await self._forgetting.check(tx)
        for each in missing:
            if each not in found or each in erased:
                row = new.get(each) or next(it for it in resolution.owners if it.id == each)
                digest = self._rules.course(row.workspace, row.id).lifecycle.digest
                born = newborn(row, self._partitions, digest)
                found[each] = replace(born, version=found[each].version) if each in found else born
        return found

    def _decided(
        self,
        journal: Journal,
        changed: Sequence[Entry],
        resolution: Resolution,
        refused: Sequence[Refusal],
        *,
        stretch: Stretch | None = None,
    ) -> Decided:
        written = {it.row.id for it in resolution.writes}
        parted = {it.id for it in changed if it.parted}
        relied = {
            row.id: row
            for row in resolution.owners
            if (row.kind == ANONYMOUS_ID or row.profile_id in parted) and row.id not in written
        }
        return Decided(
            journal=journal,
            entries={entry.id: entry for entry in changed},
            wakes=wakes(changed, self._clock.now()),
            writes=resolution.writes,
            relied=list(relied.values()),
            met=resolution.owners,
            refused=refused,
            cache=self._cache,
            relay=self._relay,
            stretch=stretch,
        )
