"""Gives the profiles of a batch at their next version: each is advanced, folded again, or stands.

Whoever is only touched by newer touchpoints is advanced from the state in memory. Whoever has a
late touchpoint, one without a time of its own, or an identity that moved, is folded again from the
history, and the difference is published as retractions and assertions; of whoever has very many
touchpoints only what is new is noted, and they are folded again later. About whom an earlier try of
the batch decided the same, nothing is decided again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common import telemetry
from clm_common.runtime.handler import Connection
from clm_stage_engine.beside import advance_beside, plain_beside
from clm_stage_engine.cache import Cache
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.identity import Resolution
from clm_stage_engine.folding import Claimed, Past, advance_all, news, plain, refold, unknown
from clm_stage_engine.forgetting import Forgetting
from clm_stage_engine.gathering import load_owners, load_pasts
from clm_stage_engine.giants import apart, given_time, have_very_many, is_giant, lost
from clm_stage_engine.journal import Journal
from clm_stage_engine.kept import Kept
from clm_stage_engine.profiles import ERASED, Entry, newborn
from clm_stage_engine.rules import Rules
from clm_stage_engine.store import reading, standings


async def beside(tx: Connection, rules: Rules, entries: list[Entry]) -> list[Entry]:
    """Give profiles with where they stand beside the main lifecycle, where others ever ran."""
    return await standings.load(tx, entries) if rules.several else entries


class Folder:
    """Folds one partition's batches."""

    def __init__(self, cache: Cache, forgetting: Forgetting, partitions: int) -> None:
        """Make it.

        Args:
            cache: the partition's memory.
            forgetting: tells whether somebody was erased meanwhile.
            partitions: of the topic; deadlines are watched by the owner of a profile's key.
        """
        self._cache = cache
        self._forgetting = forgetting
        self._partitions = partitions

    async def fold(
        self,
        tx: Connection,
        rules: Rules,
        mine: Mapping[UUID, list[Claimed]],
        resolution: Resolution,
        journal: Journal,
        kept: Kept | None,
    ) -> list[Entry]:
        """Give the next version of every profile that changes.

        Args:
            tx: the batch's transaction.
            rules: what decides.
            mine: the touchpoints that count, by profile.
            resolution: whose identities are.
            journal: takes the facts.
            kept: what stands of an earlier try.
        """
        changed: list[Entry] = []
        if kept is not None:
            same = kept.same(mine, resolution.moved)
            changed = kept.stand(same, journal)
            mine = {each: it for each, it in mine.items() if each not in same}
            moved = [it for it in resolution.moved if it.source not in same]
            resolution = Resolution(resolution.owners, resolution.writes, moved)
        moving = {each for it in resolution.moved for each in (it.source, it.target)}
        entries = await self._load(tx, rules, {*mine, *moving}, resolution)
        again = {each: mine.get(each, []) for each in moving}
        for each, claimed in mine.items():
            advanced = None if each in moving else _advanced(rules, entries[each], claimed, journal)
            if advanced is None:
                again[each] = claimed
            else:
                changed.append(advanced)
        if again:
            changed += await _Again(rules, entries, again, moving, resolution).fold(tx, journal)
        return changed

    async def _load(
        self, tx: Connection, rules: Rules, ids: Collection[UUID], resolution: Resolution
    ) -> dict[UUID, Entry]:
        """Give the profiles as they stand: from memory, from the rows, or newborn."""
        cached = self._cache.profiles.get
        found = {each: entry for each in ids if (entry := cached(each)) is not None}
        if len(found) == len(ids):
            return found
        missing = [each for each in ids if each not in found]
        loaded = await beside(tx, rules, await reading.load_profiles(tx, missing))
        found |= {it.id: it for it in loaded}
        new = {it.row.id: it.row for it in resolution.writes}
        erased = {each for each in missing if each in found and found[each].definition == ERASED}
        await self._forgetting.check(tx)
        for each in missing:
            if each not in found or each in erased:
                row = new.get(each) or next(it for it in resolution.owners if it.id == each)
                digest = rules.course(row.workspace, row.id).lifecycle.digest
                born = newborn(row, self._partitions, digest)
                found[each] = replace(born, version=found[each].version) if each in found else born
        return found


def _course(rules: Rules, entry: Entry) -> Course:
    return rules.course(entry.workspace, entry.id)


def _advanced(rules: Rules, entry: Entry, claimed: list[Claimed], journal: Journal) -> Entry | None:
    """Fold touchpoints on top of somebody's states; None where they must be folded again."""
    lifecycle = plain(_course(rules, entry), entry, claimed)
    others = rules.others(entry.workspace, entry.id)
    ways = None if others is None else plain_beside(others, entry, claimed)
    if lifecycle is None or (others is not None and ways is None):
        return None
    advanced = advance_all(lifecycle, entry, claimed, journal)
    if ways is None:
        return advanced
    return replace(advanced, further=advance_beside(ways, entry, claimed, journal))


class _Again(Struct, frozen=True):
    """Those who are folded again.

    Attributes:
        rules: what decides.
        entries: the profiles as they stand.
        again: their touchpoints in the batch.
        moving: those of them whose identities move.
        resolution: whose identities are.
    """

    rules: Rules
    entries: Mapping[UUID, Entry]
    again: Mapping[UUID, list[Claimed]]
    moving: Collection[UUID]
    resolution: Resolution

    async def fold(self, tx: Connection, journal: Journal) -> list[Entry]:
        """Give the next version of those who change; giants are put off (`giants`)."""
        telemetry.REFOLDS.inc(len(self.again))
        owners = await load_owners(tx, self.again, self.resolution.writes)
        giants = await self._giants(tx, owners)
        rest = [each for each in self.again if each not in giants]
        stored = sum(self.entries[each].touchpoints for each in rest)
        async with given_time(tx, stored):
            pasts = await load_pasts(tx, rest, owners)
            self._note_moves(pasts, journal)
            tried = [await self._refold(each, pasts[each], journal) for each in rest]
        tried += [await self._put_off(tx, *it, journal) for it in giants.items()]
        return [it for it in tried if it is not None]

    async def _giants(
        self, tx: Connection, owners: Mapping[UUID, UUID]
    ) -> dict[UUID, Sequence[UUID]]:
        """Tell for whose folding others should not wait, with their identities."""
        found: dict[UUID, Sequence[UUID]] = {}
        together = sum(self.entries[each].touchpoints for each in self.moving)
        for each in self.again:
            most = together if each in self.moving else self.entries[each].touchpoints
            if is_giant(most):
                mine = [identity for identity, owner in owners.items() if owner == each]
                if await have_very_many(tx, mine):
                    found[each] = mine
        return found

    def _note_moves(self, pasts: Mapping[UUID, Past], journal: Journal) -> None:
        for it in self.resolution.moved:
            past = pasts.get(it.source)  # of a giant there is none, and always something left
            emptied = past is not None and past.is_empty and not self.again[it.source]
            for each in (it.source, it.target):
                journal.moved(self.entries[each], it, emptied=emptied)

    async def _refold(self, each: UUID, past: Past, journal: Journal) -> Entry | None:
        """Give somebody's next version; None where nothing changes."""
        entry, claimed = self._standing(each), self.again[each]
        course, others = _course(self.rules, entry), self.rules.others(entry.workspace, each)
        size = len(past.touches) + len(claimed)
        fresh = await apart(size, news, past, claimed)
        if not fresh and each not in self.moving and self.rules.places(entry) is not None:
            return None
        return await apart(size, refold, course, entry, past, fresh, journal, others=others)

    async def _put_off(
        self, tx: Connection, each: UUID, identities: Sequence[UUID], journal: Journal
    ) -> Entry | None:
        """Note what is new of a giant, who is to be folded again; None where nothing changes."""
        entry, claimed = self._standing(each), self.again[each]
        known = await reading.load_stored(tx, identities, {it.time for it, _ in claimed})
        fresh = unknown(known, claimed)
        if not fresh and each not in self.moving:
            return None
        for arrival, identity in fresh:
            journal.touchpoint(arrival, identity, entry)
        return lost(entry, len(fresh))

    def _standing(self, each: UUID) -> Entry:
        """Give somebody as they stand; of whom an identity goes that is noted."""
        parted = any(it.source == each for it in self.resolution.moved)
        return replace(self.entries[each], parted=True) if parted else self.entries[each]
