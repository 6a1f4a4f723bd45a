"""What one partition's owner does about erasures: it forgets, keeps out, and erases when asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from clm_common.errors import RaceLost
from clm_common.runtime.handler import Connection
from clm_common.runtime.relay import Relay
from clm_common.store.offsets import Claim
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.cache import Cache
from clm_stage_engine.erased import Erased
from clm_stage_engine.erasing import AT_ONCE, Erasing, facts_of, plan_erasures
from clm_stage_engine.store import erasing


class Forgetting:
    """Keeps one partition's memory free of who was erased."""

    def __init__(self, erased: Erased, cache: Cache, claim: Claim, relay: Relay) -> None:
        """Begin with an empty memory.

        Args:
            erased: what the process knows of erasures.
            cache: the partition's memory.
            claim: the ownership.
            relay: publishes the facts.
        """
        self._erased = erased
        self._cache = cache
        self._claim = claim
        self._relay = relay
        self._known = erased.count

    async def sift(self, tx: Connection, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Forget who has gone since the last time, then leave out what they once did."""
        if not self._erased.is_read:
            await self._erased.refresh(tx)
        self._catch_up()
        return self._erased.sift(arrivals)

    async def due(self, tx: Connection, now: int) -> Erasing | None:
        """Look for what is new: give the erasures that somebody asked for, None without any."""
        await self._erased.refresh(tx)
        self._catch_up()
        wanted = await erasing.waiting(tx, self._claim.partition, AT_ONCE)
        if not wanted:
            return None
        plan = await plan_erasures(tx, wanted, now)
        facts = facts_of(plan, self._claim.next_seq)
        return Erasing(plan, self._claim.partition, facts, self._erased, self._cache, self._relay)

    async def check(self, tx: Connection, profiles: Collection[UUID]) -> None:
        """Return if the batch in hand was begun knowing that these profiles were erased.

        Raises:
            RaceLost: it was not: what was decided so far may rest on what is no more.
        """
        places = [self._erased.place_of(each) for each in profiles]
        if any(place is None for place in places):
            await self._erased.refresh(tx)
        if any(place is None or place >= self._known for place in places):
            raise RaceLost("profile.erased", "a profile was erased since it was read")

    def _catch_up(self) -> None:
        if self._known == self._erased.count:
            return
        gone = self._erased.since(self._known)
        self._known = self._erased.count
        rows = self._cache.identities.items()
        self._cache.evict(gone, [key for key, row in rows if row.profile_id in gone])
