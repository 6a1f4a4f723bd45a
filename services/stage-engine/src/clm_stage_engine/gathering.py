"""Gathers what a batch is about: its touchpoints, each counted once, by profile, and their past."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common.bus.ports import Record
from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.errors import InvalidMessage
from clm_common.runtime.handler import Connection, Refusal
from clm_stage_engine.arrivals import Arrival, arrive
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.identifiers import NAMING, Identifiers
from clm_stage_engine.core.identity import IdentityRow, Resolution, Write
from clm_stage_engine.core.snapshot import Snapshot
from clm_stage_engine.folding import Claimed, Past, in_order
from clm_stage_engine.store import reading, snapshots
from clm_stage_engine.store.writing import Named


class Intake(Struct, frozen=True):
    """What records hold.

    Attributes:
        taken: the touchpoints.
        refused: the records that are none, or nobody's.
        blocked: how many identifiers stand for nobody, by kind.
    """

    taken: Sequence[Arrival] = ()
    refused: Sequence[Refusal] = ()
    blocked: Mapping[str, int] = {}


NOBODY: Final = Intake()
"""What no records hold."""


def take_in(records: Sequence[Record], identifiers: Identifiers) -> Intake:
    """Read records; what is no touchpoint, or nobody's, is refused with its reason."""
    taken: list[Arrival] = []
    refused: list[Refusal] = []
    blocked = Counter[str]()
    for record in records:
        try:
            taken.append(_unblocked(arrive(record), identifiers, blocked))
        except InvalidMessage as error:
            refused.append(Refusal(record, error))
    return Intake(taken, refused, blocked)


def _unblocked(arrival: Arrival, identifiers: Identifiers, blocked: Counter[str]) -> Arrival:
    """Take away the ids that stand for nobody, and count them.

    Raises:
        InvalidMessage: none is left.
    """
    user, anonymous = arrival.user, arrival.anonymous
    if user is not None and identifiers.user_blocked(user[2]):
        blocked[USER_ID] += 1
        user = None
    if anonymous is not None and identifiers.anonymous_blocked(anonymous[2]):
        blocked[ANONYMOUS_ID] += 1
        anonymous = None
    if user is arrival.user and anonymous is arrival.anonymous:
        return arrival
    if user is None and anonymous is None:
        raise InvalidMessage(
            "touchpoint.identity_blocked",
            "its ids stand for nobody; send real ones, or change `blocked` in identity.yaml",
        )
    return replace(arrival, user=user, anonymous=anonymous)


def named(
    pairs: Sequence[tuple[Arrival, IdentityRow]], identifiers: Identifiers
) -> tuple[list[Named], Counter[str]]:
    """Give the attributes that touchpoints name, of each the one said first.

    With them how many stand for nobody, by kind.
    """
    found: dict[tuple[str, str, UUID], Named] = {}
    blocked = Counter[str]()
    for arrival, row in pairs:
        if arrival.type not in NAMING:  # most are none; asking would cost a call for each
            continue
        for said in identifiers.said(arrival.type, arrival.body):
            if said.value is None:
                blocked[identifiers.known(said.kind)] += 1
                continue
            new = Named(arrival.time, arrival.message_id, row, said.kind, said.value)
            key = (said.kind, said.value, row.id)
            if key not in found or new.place < found[key].place:
                found[key] = new
    return [*found.values()], blocked


async def once(
    tx: Connection, arrivals: Sequence[Arrival], resolution: Resolution
) -> list[tuple[Arrival, IdentityRow]]:
    """Drop repeats of touchpoints that carry no time of their own.

    All others repeat with the time they had before, so that the fold or the re-fold notices.
    """
    pairs = list(zip(arrivals, resolution.owners, strict=True))
    asked = [(row.id, it.source, it.sent_id) for it, row in pairs if it.untimed]
    if not asked:
        return pairs
    seen = await reading.load_repeated(tx, asked)
    kept: list[tuple[Arrival, IdentityRow]] = []
    for it, row in pairs:
        name = (row.id, it.source, it.sent_id)
        if not it.untimed or name not in seen:
            kept.append((it, row))
        if it.untimed:
            seen.add(name)
    return kept


def by_profile(pairs: Sequence[tuple[Arrival, IdentityRow]]) -> dict[UUID, list[Claimed]]:
    """Group touchpoints by the profile they belong to, each group in the fold's order."""
    mine: defaultdict[UUID, list[Claimed]] = defaultdict(list)
    for arrival, row in pairs:
        mine[row.profile_id].append((arrival, row.id))
    for claimed in mine.values():
        in_order(claimed)
    return mine


async def load_owners(
    tx: Connection, profiles: Collection[UUID], writes: Sequence[Write]
) -> dict[UUID, UUID]:
    """Give the profile of each stored identity of some, as if a batch's were written already."""
    owner = await reading.load_members(tx, profiles)
    return owner | {it.row.id: it.row.profile_id for it in writes if it.expected is not None}


async def load_pasts(
    tx: Connection, profiles: Sequence[UUID], owners: Mapping[UUID, UUID] | None = None
) -> dict[UUID, Past]:
    """Load what is stored of profiles.

    Args:
        tx: the open transaction.
        profiles: whose.
        owners: which profile each identity belongs to; by default as it is stored.
    """
    if not profiles:
        return {}
    if owners is None:
        owners = await load_owners(tx, profiles, ())
    asked = {*profiles}
    owner = {identity: each for identity, each in owners.items() if each in asked}
    history, imported = await reading.load_history(tx, owner)
    timelines = await reading.load_timelines(tx, profiles)
    records = await reading.load_explanations(tx, profiles)
    known = await snapshots.load(tx, owner)
    touches: dict[UUID, list[Touch]] = {each: [] for each in profiles}
    folded: dict[UUID, dict[UUID, Snapshot]] = {each: {} for each in profiles}
    for identity, profile in owner.items():
        touches[profile] += history[identity]
        if identity in known:
            folded[profile][identity] = known[identity]
    return {
        each: Past(touches[each], timelines[each], imported, records[each], folded[each])
        for each in profiles
    }
