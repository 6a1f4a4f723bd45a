"""Erasing people: done by the owner of their partition, under its fence, all of it or nothing.

Whoever is merged with others is erased whole: the profile, and every profile that its identities
once had on their own. Each of them leaves an empty row that keeps the version, so that neither a
batch of another partition nor an older message can bring them back; see `housekeeping`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common import telemetry
from clm_common.contracts.journey import ProfileErased
from clm_common.instant import to_rfc3339
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.relay import Relay
from clm_stage_engine.cache import Cache
from clm_stage_engine.core import river
from clm_stage_engine.erased import Erased
from clm_stage_engine.profiles import ERASED, Entry
from clm_stage_engine.store import erasing, keys, reading, saving, writing
from clm_stage_engine.store.erasing import Mark, Wanted

AT_ONCE: Final = 20
"""People erased in one transaction at most."""


class Plan(Struct, frozen=True):
    """Whom to erase.

    Attributes:
        wanted: the erasures.
        person: the erasure that each profile belongs to.
        identities: the erasure that each identity belongs to.
        entries: the profiles as they stand; those that have no row have version 0.
        at: the instant, µs.
    """

    wanted: Sequence[Wanted]
    person: Mapping[UUID, Wanted]
    identities: Mapping[UUID, Wanted]
    entries: Mapping[UUID, Entry]
    at: int


class Erasing(Struct, frozen=True):
    """The erasure of some people; a batch as the worker takes it."""

    plan: Plan
    partition: int
    published: Sequence[tuple[int, ProfileErased]]
    erased: Erased
    cache: Cache
    relay: Relay
    refused: Sequence[Refusal] = ()

    @property
    def facts(self) -> int:
        """One per profile."""
        return len(self.published)

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Empty the profiles first: whoever gave one an identity since has changed its version.

        Raises:
            RaceLost: a profile or an identity has changed since it was read.
        """
        del first_seq  # the facts were numbered from the claim's, which the fence has proved
        plan = self.plan
        self.cache.evict(plan.entries, ())
        await saving.save_profiles(tx, [(_emptied(it), None) for it in plan.entries.values()])
        await writing.check_members(tx, list(plan.entries), set(plan.identities))
        counts = await erasing.forget(tx, list(plan.entries), list(plan.identities))
        await keys.forget(tx, list(plan.entries))
        await erasing.mark(tx, self.partition, self._marks())
        await erasing.publish(tx, self.partition, self.published)
        await erasing.done(tx, self._outcomes(counts))

    def committed(self) -> None:
        """Hand the facts over."""
        telemetry.ERASURES.inc(len(self.plan.wanted))
        if self.published:
            first, last = self.published[0][0], self.published[-1][0]
            self.relay.offer(first, last, river.pieces(fact for _, fact in self.published))

    def _marks(self) -> list[Mark]:
        """Keep out what happened up to now; what is dated ahead of it, too."""
        until = {it.id: self.plan.at for it in self.plan.wanted}
        for each, entry in self.plan.entries.items():
            if entry.state is not None:
                person = self.plan.person[each].id
                until[person] = max(until[person], entry.state.frontier[0])
        seq_of = {fact.erasure: seq for seq, fact in self.published}
        return [
            Mark(self.erased.hash_of(each), until[wanted.id], seq_of[wanted.id])
            for each, wanted in self.plan.identities.items()
        ]

    def _outcomes(self, counts: Mapping[UUID, int]) -> list[tuple[UUID, int, int, int]]:
        parts = Counter(it.id for it in self.plan.person.values())
        touchpoints = Counter[UUID]()
        for identity, count in counts.items():
            touchpoints[self.plan.identities[identity].id] += count
        return [(it.id, self.plan.at, parts[it.id], touchpoints[it.id]) for it in self.plan.wanted]


async def plan_erasures(tx: Connection, wanted: Sequence[Wanted], at: int) -> Plan:
    """Find out who is to be erased.

    Args:
        tx: the open transaction.
        wanted: the erasures.
        at: the present instant, µs.
    """
    of = {it.profile: it for it in wanted}
    members = await reading.load_members(tx, of)
    identities = {each: of[profile] for each, profile in members.items()}
    person = {**identities, **of}
    others = await erasing.with_identities(tx, [each for each in person if each not in of])
    person = {each: it for each, it in person.items() if each not in others}
    entries = {it.id: it for it in await reading.load_profiles(tx, list(person))}
    for each, it in person.items():
        if each not in entries:
            entries[each] = Entry(each, it.workspace, 0, 0, None, 0, None, ERASED)
    return Plan(wanted, person, identities, entries, at)


def facts_of(plan: Plan, first: int) -> list[tuple[int, ProfileErased]]:
    """Number the facts of an erasure, one per profile."""
    parts = Counter(it.id for it in plan.person.values())
    seen = Counter[UUID]()
    found: list[tuple[int, ProfileErased]] = []
    for seq, (each, it) in enumerate(sorted(plan.person.items()), start=first):
        seen[it.id] += 1
        fact = ProfileErased(
            workspace=it.workspace,
            profile_id=each,
            version=plan.entries[each].version + 1,
            erasure=it.id,
            part=seen[it.id],
            parts=parts[it.id],
            time=to_rfc3339(plan.at),
        )
        found.append((seq, fact))
    return found


def _emptied(entry: Entry) -> Entry:
    return Entry(entry.id, entry.workspace, entry.version + 1, entry.home, None, 0, None, ERASED)
