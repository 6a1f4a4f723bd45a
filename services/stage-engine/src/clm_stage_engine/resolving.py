"""Resolving a batch: whose its touchpoints are, by links and by what somebody decided.

Links are resolved from memory. The rows around are read only where a batch holds a decision, a new
link of an identity that somebody decided about, or any new link where devices are limited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.ids import USER_ID
from clm_common.runtime.handler import Connection
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.cache import Cache
from clm_stage_engine.core.deciding import KINDS, Said, said
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.identity import Key, Resolution, keys, resolve
from clm_stage_engine.core.matching import matches
from clm_stage_engine.core.merging import Decision, each_once
from clm_stage_engine.core.ours import DECISIONS
from clm_stage_engine.core.regrouping import regroup
from clm_stage_engine.erased import Erased
from clm_stage_engine.store import decisions as rows
from clm_stage_engine.store import reading
from clm_stage_engine.store.ids import decision_id, profile_id


class Resolved(Struct, frozen=True):
    """A batch whose identities are known.

    Attributes:
        arrivals: its touchpoints; a decision by hand is none.
        resolution: whose they are.
        decisions: those that are new.
    """

    arrivals: Sequence[Arrival]
    resolution: Resolution
    decisions: Sequence[Decision] = ()


class Resolver:
    """Resolves one partition's batches."""

    def __init__(self, cache: Cache, identifiers: Identifiers, erased: Erased) -> None:
        """Make it.

        Args:
            cache: the partition's memory.
            identifiers: tells which ids stand for nobody.
            erased: who must stay out.
        """
        self._cache = cache
        self._identifiers = identifiers
        self._erased = erased

    async def resolve(self, tx: Connection, arrivals: Sequence[Arrival]) -> Resolved:
        """Tell whose touchpoints these are, and whose they make others."""
        deciding = [it for it in arrivals if it.type in KINDS]
        touches = [it for it in arrivals if it.type not in DECISIONS] if deciding else arrivals
        asked = [*self._asked(deciding, touches)]
        resolution = await self._link(tx, touches)
        if not asked and not self._meets(resolution):
            return Resolved(touches, resolution)
        return await self._regroup(tx, touches, resolution, asked)

    def _asked(self, deciding: Sequence[Arrival], touches: Sequence[Arrival]) -> Iterator[Said]:
        """Read decisions and matches; one about somebody who was erased since is none."""
        for arrival in deciding:
            found = said(arrival, self._blocks, decision_id, profile_id)
            if found is not None and not self._is_out(found, arrival):
                yield found
        for arrival in touches if self._identifiers.joining else ():
            for match in matches(arrival, self._identifiers, decision_id, profile_id):
                if not self._is_out(match, arrival):
                    yield match

    def _is_out(self, found: Said, arrival: Arrival) -> bool:
        return self._erased.is_out(found.keys.values(), arrival.time)

    def _meets(self, resolution: Resolution) -> bool:
        """Tell whether links alone cannot tell: of whoever is linked, others must be looked at."""
        if self._identifiers.bounds.bounds_devices:
            return any(it.row.link is not None for it in resolution.writes)
        return any(it.row.decided for it in resolution.writes)

    def _blocks(self, key: Key) -> bool:
        _, kind, value = key
        known = self._identifiers
        return known.user_blocked(value) if kind == USER_ID else known.anonymous_blocked(value)

    async def _link(self, tx: Connection, arrivals: Sequence[Arrival]) -> Resolution:
        cached = self._cache.identities.get
        asked = keys(arrivals)
        known = {key: row for key in asked if (row := cached(key)) is not None}
        unknown = {profile_id(*key) for key in asked - known.keys()}
        if unknown:
            found = await reading.load_identities(tx, unknown)
            known |= {(it.workspace, it.kind, it.value): it for it in found}
        return resolve(arrivals, known, profile_id)

    async def _regroup(
        self,
        tx: Connection,
        arrivals: Sequence[Arrival],
        resolution: Resolution,
        asked: Sequence[Said],
    ) -> Resolved:
        named: dict[UUID, Key] = {}
        for it in asked:
            named |= it.keys
        linked = {it.row.link.user for it in resolution.writes if it.row.link is not None}
        written = {it.row.id for it in resolution.writes}
        around = await rows.load_around(tx, {*named, *linked, *written})
        known = {it.id: it for it in around.decisions}
        fresh = each_once(it.decision for it in asked).values()
        news = [it for it in fresh if it.id not in known or it.place < known[it.id].place]
        if not news and not self._meets(resolution):
            return Resolved(arrivals, resolution)
        regrouped = regroup(resolution, around, news, named, self._identifiers.bounds)
        return Resolved(arrivals, regrouped, news)
