"""Folding the oldest months away: snapshots take the place of touchpoints from before a floor.

The owner of a partition goes through the people whose deadlines it watches, in the order of their
ids, between the batches of live traffic. A snapshot is written in the transaction that deletes what
it replaces, so that whoever is killed has done both or neither; how far it is stands in the rows.

Touchpoints are the outbox as well: none is deleted before it is published. So each owner first
says, when nothing of its partition waits, that it begins; when all have said so, all go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import structlog
from msgspec import Struct

from clm_common import telemetry
from clm_common.instant import to_rfc3339
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.relay import Relay
from clm_stage_engine.cache import Cache
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.letting_go import let_go_by_all
from clm_stage_engine.core.memories import NEVER
from clm_stage_engine.core.snapshot import Snapshot
from clm_stage_engine.giants import apart, given_time
from clm_stage_engine.profiles import Entry, wakes
from clm_stage_engine.rules import Rules
from clm_stage_engine.store import floors, reading, saving, snapshots, standings, writing
from clm_stage_engine.store.floors import Floor, Place
from clm_stage_engine.store.snapshots import Older

log = structlog.get_logger()

REFRESH: Final = 10.0
"""Seconds between two readings of the floors."""

LENGTH: Final = 4_000
"""Ids of all people in a portion; a partition has its share of them."""

MOST: Final = 5_000
"""Touchpoints folded away at once, one person's excess aside: live traffic waits for it."""


class Retiring(Struct, frozen=True):
    """Some people whose older touchpoints go; a batch as the worker takes it.

    Attributes:
        partition: whose owner does it.
        place: how far it is with it.
        entries: the people at their next version; nothing else about them changes.
        deadlines: when each of them wants them to be looked at, µs.
        identities: all of theirs.
        made: their snapshots.
        touchpoints: how many are let go.
        cache: forgets them.
        places: takes note once it is committed.
    """

    partition: int
    place: Place
    cache: Cache
    places: dict[str, Place]
    entries: Mapping[UUID, Entry] = {}
    deadlines: Mapping[UUID, int] = {}
    identities: Collection[UUID] = ()
    made: Mapping[UUID, Snapshot] = {}
    touchpoints: int = 0
    refused: Sequence[Refusal] = ()

    @property
    def facts(self) -> int:
        """Nothing is published: nobody's stage changes."""
        return 0

    async def write(self, tx: Connection, first_seq: int) -> None:  # noqa: ARG002 - nothing is numbered
        """Put the snapshots in the place of the touchpoints.

        Raises:
            RaceLost: a profile, an identity or a touchpoint has changed since it was read.
        """
        self.cache.evict(self.entries, ())
        if self.entries:
            await saving.save_profiles(
                tx, [(it, self.deadlines.get(each)) for each, it in self.entries.items()]
            )
            await writing.check_members(tx, list(self.entries), self.identities)
            await snapshots.let_go(
                tx,
                self.identities,
                self.made,
                since=self.place.since,
                touchpoints=self.touchpoints,
            )
        await floors.save(tx, self.partition, self.place, len(self.made), self.touchpoints)

    def committed(self) -> None:
        """Take note of it."""
        self.places[self.place.workspace] = self.place
        telemetry.SNAPSHOTS.inc(len(self.made))
        telemetry.TOUCHPOINTS_FOLDED_AWAY.inc(self.touchpoints)
        if self.place.done:
            since = to_rfc3339(self.place.since)
            log.info("history.folded_away", workspace=self.place.workspace, since=since)


class Retention:
    """One partition's part in it.

    Attributes:
        floor: by workspace, the instant (µs) from which on touchpoints are kept.
        highest: the highest of them.
    """

    def __init__(self, partition: int, partitions: int, relay: Relay, cache: Cache) -> None:
        """Begin knowing of no floors.

        Args:
            partition: whose people.
            partitions: how many there are.
            relay: publishes the partition's facts.
            cache: the partition's memory.
        """
        self.floor: dict[str, int] = {}
        self.highest = NEVER
        self._partition = partition
        self._partitions = partitions
        self._relay = relay
        self._cache = cache
        self._floors: list[Floor] = []
        self._places: dict[str, Place] = {}
        self._read: float | None = None

    def forget(self) -> None:
        """Read the rows again."""
        self._read = None

    async def refresh(self, tx: Connection) -> None:
        """Read the floors, if that is a while ago."""
        now = asyncio.get_running_loop().time()
        if self._read is not None and now - self._read < REFRESH:
            return
        self._read = now
        self._floors = await floors.floors(tx)
        self.floor = {it.workspace: it.since for it in self._floors}
        self.highest = max(self.floor.values(), default=NEVER)
        if self._floors:
            found = await floors.places(tx, self._partition)
            self._places = {it.workspace: it for it in found}

    async def next(self, tx: Connection, rules: Rules, now: int) -> Retiring | None:
        """Give the next people whose touchpoints go; None where there is nothing to do.

        Args:
            tx: the batch's transaction.
            rules: what decides about whom.
            now: the present instant, µs.
        """
        await self.refresh(tx)
        for floor in self._floors:
            if not floor.settled:
                continue
            place = self._places.get(floor.workspace)
            if place is None or place.since != floor.since:
                if not self._relay.pending:
                    return self._retiring(Place(floor.workspace, floor.since))
            elif not place.done and await self._all_begun(tx, place):
                return await self._portion(tx, place, rules, now)
        return None

    async def _all_begun(self, tx: Connection, place: Place) -> bool:
        return await floors.begun(tx, place.workspace, place.since) >= self._partitions

    def _retiring(self, place: Place) -> Retiring:
        return Retiring(self._partition, place, self._cache, self._places)

    async def _portion(self, tx: Connection, place: Place, rules: Rules, now: int) -> Retiring:
        upper = await reading.upper(tx, place.after, LENGTH)
        among = place.after, upper
        everybody = await snapshots.older(tx, self._partition, place.workspace, among, place.since)
        some = _some(everybody)
        if len(some) < len(everybody):
            reached = Place(place.workspace, place.since, some[-1].profile)
        else:
            after = place.after if upper is None else upper
            reached = Place(place.workspace, place.since, after, done=upper is None)
        if not some:
            return self._retiring(reached)
        return await self._fold_away(tx, reached, [it.profile for it in some], rules, now)

    async def _fold_away(
        self, tx: Connection, reached: Place, ids: Sequence[UUID], rules: Rules, now: int
    ) -> Retiring:
        found = await reading.load_profiles(tx, ids)
        found = await standings.load(tx, found) if rules.several else found
        entries = {it.id: it for it in found}
        owner = await reading.load_members(tx, ids)
        async with given_time(tx, sum(it.touchpoints for it in entries.values())):
            return await self._let_go(tx, reached, entries, owner, rules, now)

    async def _let_go(
        self,
        tx: Connection,
        reached: Place,
        entries: Mapping[UUID, Entry],
        owner: Mapping[UUID, UUID],
        rules: Rules,
        now: int,
    ) -> Retiring:
        history, imported = await reading.load_history(tx, owner, reached.since)
        known = await snapshots.load(tx, owner)
        touches: dict[UUID, list[Touch]] = {each: [] for each in entries}
        own: dict[UUID, dict[UUID, Snapshot]] = {each: {} for each in entries}
        for identity, each in owner.items():
            touches[each] += history[identity]
            if identity in known:
                own[each][identity] = known[identity]
        made: dict[UUID, Snapshot] = {}
        for each, entry in entries.items():
            course = rules.course(entry.workspace, each)
            mine, others = touches[each], rules.others(entry.workspace, each) or ()
            past, since = (own[each], mine, imported), reached.since
            snapshot = await apart(len(mine), let_go_by_all, course, others, each, past, since)
            if snapshot is not None:
                made[each] = snapshot
        following = {each: _unchanged(entries[each]) for each in made}
        identities = [it for it, profile in owner.items() if profile in made]
        return Retiring(
            self._partition,
            reached,
            self._cache,
            self._places,
            following,
            wakes(following.values(), now),
            identities,
            made,
            sum(len(history[it]) for it in identities),
        )


def _some(everybody: Sequence[Older]) -> Sequence[Older]:
    """Give the first of them that together have no more than `MOST` touchpoints; one at least."""
    touchpoints = 0
    for place, it in enumerate(everybody):
        touchpoints += it.touchpoints
        if place and touchpoints > MOST:
            return everybody[:place]
    return everybody


def _unchanged(entry: Entry) -> Entry:
    """Give the next version of a profile: whoever has read the one before decides again."""
    return entry.advanced(
        entry.state, entry.touchpoints, entry.definition, historical=entry.historical
    )
