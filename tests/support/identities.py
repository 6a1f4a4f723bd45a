"""Identity rows and decisions as the database keeps them, without one: compare-and-set included."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct

from clm_common.contracts import ids
from clm_stage_engine.core.identity import IdentityRow, Key, Resolution, keys, resolve
from clm_stage_engine.core.merging import BOUNDS, Bounds, Decision, Kind, each_once
from clm_stage_engine.core.regrouping import Around, regroup

WORKSPACE = "shop"


class Seen(Struct, frozen=True):
    """The identifiers of one touchpoint."""

    time: int
    message_id: str
    user: Key | None
    anonymous: Key | None


def user(name: str) -> Key:
    return (WORKSPACE, ids.USER_ID, name)


def device(name: str) -> Key:
    return (WORKSPACE, ids.ANONYMOUS_ID, name)


def own(key: Key) -> UUID:
    """Give the profile that an identifier has on its own."""
    return ids.profile_id(*key)


def seen(time: int, message: str, *, by: str | None = None, on: str | None = None) -> Seen:
    """See a user, a device, or both."""
    return Seen(time, message, user(by) if by else None, device(on) if on else None)


class Taken(Struct, frozen=True):
    """A decision and the identifiers that it names."""

    decision: Decision
    keys: tuple[Key, ...]


def shared(kind: str, value: str) -> Key:
    """Name an address or the like."""
    return (WORKSPACE, kind, value)


def decided(
    kind: Kind, at: int, *members: Key, undoes: Taken | None = None, rank: int = 0
) -> Taken:
    """Decide about identities; the same words give the same decision."""
    named = undoes.keys if undoes else members
    name = f"{kind}@{at}:{named}" + (f" of {undoes.decision.id}" if undoes else "")
    return Taken(
        Decision(
            ids.decision_id(WORKSPACE, name),
            WORKSPACE,
            kind,
            at,
            name,
            tuple(map(own, named)),
            undoes=undoes.decision.id if undoes else None,
            rank=rank,
        ),
        named,
    )


class World:
    """What is stored, and what each batch does to it."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.rows: dict[UUID, IdentityRow] = {}
        self.decisions: dict[UUID, Decision] = {}
        self._bounds = bounds

    def receive(self, *batch: Seen | Taken) -> Resolution:
        """Resolve a batch of touchpoints and decisions, and store what it says."""
        sightings = [it for it in batch if isinstance(it, Seen)]
        taken = [it for it in batch if isinstance(it, Taken)]
        known = {key: self.rows[own(key)] for key in keys(sightings) if own(key) in self.rows}
        found = resolve(sightings, known, ids.profile_id)
        named = {own(key): key for it in taken for key in it.keys}
        linked = any(it.row.link is not None for it in found.writes)
        decided_about = any(it.row.decided for it in found.writes)
        if named or decided_about or (linked and self._bounds.bounds_devices):
            news = list(each_once(it.decision for it in taken).values())
            found = regroup(found, self._around(), news, named, self._bounds)
            self.decisions = each_once([*self.decisions.values(), *news])
        for write in found.writes:
            assert self.rows.get(write.row.id) == write.expected
            self.rows[write.row.id] = write.row
        return found

    def _around(self) -> Around:
        return Around(list(self.decisions.values()), dict(self.rows))

    def owner(self, key: Key) -> UUID:
        """Give the profile that an identifier belongs to."""
        row = self.rows.get(own(key))
        return own(key) if row is None else row.profile_id

    def owners(self, names: Iterable[Key]) -> dict[Key, UUID]:
        return {key: self.owner(key) for key in names}
