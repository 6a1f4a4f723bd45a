"""What one partition's owner does about erasures: it forgets, keeps out, and erases when asked."""

from __future__ import annotations

from collections.abc import Sequence

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

    async def check(self, tx: Connection) -> None:
        """Return if nobody was erased since the batch in hand was begun, as far as it has read.

        Whoever was erased and has come back meanwhile looks like anybody else, so what was kept out
        by what was known then does not say enough.

        Raises:
            RaceLost: somebody was: what was decided so far may rest on what is no more.
        """
        await self._erased.refresh(tx)
        if self._known != self._erased.count:
            raise RaceLost("profile.erased", "somebody was erased since the batch was begun")

    def _catch_up(self) -> None:
        if self._known == self._erased.count:
            return
        gone = self._erased.since(self._known)
        self._known = self._erased.count
        rows = self._cache.identities.items()
        self._cache.evict(gone, [key for key, row in rows if row.profile_id in gone])
