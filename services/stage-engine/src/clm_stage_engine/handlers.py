"""The engine on one partition: what a batch of touchpoints, or a deadline, does to whom.

A batch that lost a race is decided again; what stands of it (`kept`) is neither loaded nor folded
again.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from clm_common.bus.ports import Record
from clm_common.clock import Clock
from clm_common.contracts.ids import ANONYMOUS_ID
from clm_common.errors import ClmError
from clm_common.runtime.handler import Connection
from clm_common.runtime.relay import Relay
from clm_common.store.database import Database
from clm_common.store.offsets import Claim
from clm_stage_engine.advancing import Folder, beside
from clm_stage_engine.aside import Aside
from clm_stage_engine.batch import Decided
from clm_stage_engine.cache import Cache
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.identity import Resolution
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.erased import Erased
from clm_stage_engine.erasing import Erasing
from clm_stage_engine.firing import fire
from clm_stage_engine.forgetting import Forgetting
from clm_stage_engine.gathering import by_profile, named, once, take_in
from clm_stage_engine.governing import Board
from clm_stage_engine.journal import Journal
from clm_stage_engine.kept import Basis, Due, Kept
from clm_stage_engine.lateness import Lateness
from clm_stage_engine.profiles import Entry, wakes
from clm_stage_engine.resolving import Resolver
from clm_stage_engine.retention import Retention, Retiring
from clm_stage_engine.store import reading
from clm_stage_engine.store.months import Months
from clm_stage_engine.sweeping import Sweeper

DUE: Final = 500
"""Profiles whose deadlines are fired in one batch."""

BEHIND: Final = 5_000
"""Facts waiting to be published at which deadlines wait: new touchpoints queue behind them."""

NOTHING: Final = Resolution([], [], [])
"""What a deadline means for identities."""

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
        database: Database,
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
            database: stage-engine's schema, to read of giants what batches do not wait for.
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
        self._relay = relay
        self._clock = clock
        self._months = months
        self._cache = Cache(cached_profiles)
        self._forgetting = Forgetting(erased, self._cache, claim, relay)
        self._retention = Retention(claim.partition, partitions, relay, self._cache)
        self._lateness = Lateness(keeping, self._retention)
        self._aside = Aside(database, claim.partition, channels)
        self._retires = False
        self._folder = Folder(self._cache, self._forgetting, partitions)
        self._resolver = Resolver(self._cache, identifiers, erased)
        relay.start_at(claim.next_seq - 1)
        self._relaying = asyncio.create_task(relay.run())

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Decided:
        """Fold records into the profiles they belong to."""
        self._still_relaying()
        self._rules = self._board.rules
        await self._relay.room()
        kept = self._cache.left_of(records, self._rules)
        intake = take_in(records, self._identifiers) if kept is None else kept.basis.intake
        known = await self._forgetting.sift(tx, intake.taken)
        counted, late = await self._lateness.part(tx, known)
        resolved = await self._resolver.resolve(tx, counted)
        arrivals, resolution = resolved.arrivals, resolved.resolution
        await self._months.cover([it.time for it in arrivals])
        claimed = await once(tx, arrivals, resolution)
        journal = self._journal()
        mine = by_profile(claimed)
        changed = await self._folder.fold(tx, self._rules, mine, resolution, journal, kept)
        verdicts = {
            "applied": len(journal.history),
            "erased": len(intake.taken) - len(known),
            "late": len(late),
            "decision": len(counted) - len(arrivals),
        }
        verdicts["repeated"] = len(intake.taken) - sum(verdicts.values())
        basis = Basis(self._rules, records, intake, mine, resolution.moved)
        decided = self._decided(journal, changed, resolution, basis)
        said, blocked = named(claimed, self._identifiers)
        return replace(
            decided,
            named=said,
            late=late,
            decisions=resolved.decisions,
            verdicts=verdicts,
            blocked=blocked + Counter(intake.blocked),
        )

    async def wake(self, tx: Connection) -> Decided | Erasing | Retiring | None:
        """Erase whom somebody asked to erase, else fire what is due and fold again who is stale.

        Every other time the people whose oldest touchpoints are to go come first.
        """
        self._still_relaying()
        self._rules = self._board.rules
        kept = self._cache.left_of((), self._rules)
        if self._relay.pending > BEHIND:
            return None
        now = self._clock.now()
        if (erasing := await self._forgetting.due(tx, now)) is not None:
            return erasing
        if kept is None:
            self._retires = not self._retires
            if self._retires and (retiring := await self._retention.next(tx, self._rules, now)):
                return retiring
        due = await self._due(tx, now) if kept is None else await self._still_due(tx, kept)
        if due is None:
            return None
        journal = self._journal()
        changed = due.take_over(journal) if kept is None else kept.others(journal)
        changed += await fire(tx, self._rules, due.but(changed), journal)
        return self._decided(journal, changed, NOTHING, Basis(self._rules, due=due))

    async def _due(self, tx: Connection, now: int) -> Due | None:
        """Give whose deadlines are due and who is to be folded again; None without anybody."""
        every = await reading.load_due(tx, self._claim.partition, now, DUE)
        every = await beside(tx, self._rules, every)
        due, folded = self._aside.part(self._rules, every)
        stretch = await self._sweeper.next(tx, self._rules, {it.id for it in every})
        if not due and not folded and stretch is None:
            return None
        return Due(now, due, stretch, folded)

    async def _still_due(self, tx: Connection, kept: Kept) -> Due | None:
        """Look once more at those who raced, of whom this was true."""
        raced = await beside(tx, self._rules, await reading.load_profiles(tx, kept.raced))
        return None if kept.basis.due is None else kept.basis.due.refreshed(raced, self._rules)

    def forget(self) -> None:
        """Drop what is in memory."""
        self._cache.clear()
        self._sweeper.forget()
        self._aside.forget()
        self._retention.forget()

    async def close(self) -> None:
        """Let the relay publish what is committed, then end it."""
        await self._aside.close()
        if not self._relaying.done():
            await self._relay.drained(DRAIN)
        self._relaying.cancel()
        with suppress(asyncio.CancelledError, ClmError):
            await self._relaying

    def _journal(self) -> Journal:
        return Journal(self._claim.partition, self._claim.next_seq, self._channels)

    def _still_relaying(self) -> None:
        """Raise what ended the relay, if something did."""
        if self._relaying.done():
            self._relaying.result()

    def _decided(
        self, journal: Journal, changed: Sequence[Entry], resolution: Resolution, basis: Basis
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
            basis=basis,
            cache=self._cache,
            relay=self._relay,
        )
