"""Identity: to which profile a touchpoint belongs, as a function of the set of touchpoints.

A touchpoint with a user id belongs to that user. One with an anonymous id alone belongs to the
user of the earliest link, by (time, message id), or else to the anonymous profile. A link is a
touchpoint that carries both ids: the evidence that this device was this user's.

Every touchpoint has an identity of its own, that of its strongest identifier, and keeps it.
What changes is only which profile an identity maps to: a batch may bring a link, or an earlier
one than was known, and then the identity moves and both profiles must be re-folded.
Somebody may also decide that identities are one person, or not; see `merging`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

Key = tuple[str, str, str]
"""(workspace, kind, value): an identifier, before it has an id. Cheap to build, hash and compare;
ids are `UUID`s because that is what the database driver reads and writes without conversion."""


class Link(Struct, frozen=True, order=True, gc=False):
    """The evidence that an anonymous identity is a user's. The least one decides.

    Attributes:
        time: when the touchpoint with both ids happened, µs.
        message_id: its message id.
        user: the id of the user's identity.
    """

    time: int
    message_id: str
    user: UUID


class IdentityRow(Struct, frozen=True, gc=False):
    """An identifier that was seen, and the profile it maps to.

    Attributes:
        id: derived from workspace, kind and value.
        workspace: the workspace's key.
        kind: `user_id` or `anonymous_id`.
        value: the identifier as it was sent.
        profile_id: the profile it maps to; its own id until something moves it.
        link: the evidence of whose it is, for an anonymous identity.
        moves: how often it went to another profile.
        decided: how often somebody decided about it, or about who is one with it; 0 where links
            alone tell whose it is.
    """

    id: UUID
    workspace: str
    kind: str
    value: str
    profile_id: UUID
    link: Link | None = None
    moves: int = 0
    decided: int = 0


class Sighting(Protocol):
    """The identifiers of one touchpoint; at least one of the two is there."""

    @property
    def time(self) -> int:
        """When it happened, µs."""
        ...

    @property
    def message_id(self) -> str:
        """Its id, which breaks ties of time."""
        ...

    @property
    def user(self) -> Key | None:
        """Its user id, if it has one."""
        ...

    @property
    def anonymous(self) -> Key | None:
        """Its anonymous id, if it has one."""
        ...


class Write(Struct, frozen=True, gc=False):
    """A row to store.

    Attributes:
        row: what it becomes.
        expected: what it must still be (compare `link`, `moves` and `decided`); None to insert it.
    """

    row: IdentityRow
    expected: IdentityRow | None


class Moved(Struct, frozen=True, gc=False):
    """A known identity now maps to another profile: re-fold both.

    Attributes:
        identity_id: the identity, whose stored touchpoints move with it.
        source: the profile that had it.
        target: the profile that has it.
        time: the instant of the evidence or of the decision, µs.
        moves: how often it has moved, this time included.
    """

    identity_id: UUID
    source: UUID
    target: UUID
    time: int
    moves: int


class Resolution(Struct, frozen=True):
    """What a batch means for identities.

    Attributes:
        owners: for each touchpoint, in order, the row of its own identity after the whole batch:
            `id` is its identity, `profile_id` the profile it belongs to.
        writes: the rows to insert or update, in this order.
        moved: the known identities that changed profile.
    """

    owners: list[IdentityRow]
    writes: list[Write]
    moved: list[Moved]


Derive = Callable[[str, str, str], UUID]
"""Gives the id of (workspace, kind, value), as `clm_common.contracts.ids.profile_id` does."""


def keys(sightings: Iterable[Sighting]) -> set[Key]:
    """Give every identifier of a batch: what `resolve` must be told the known rows of."""
    found = {it.user for it in sightings if it.user is not None}
    found |= {it.anonymous for it in sightings if it.anonymous is not None}
    return found


def resolve(
    sightings: Sequence[Sighting], known: Mapping[Key, IdentityRow], derive: Derive
) -> Resolution:
    """Attribute a batch of touchpoints, in any order, duplicates welcome.

    Args:
        sightings: the identifiers of the batch's touchpoints.
        known: the stored rows of `keys(sightings)`; a key that is missing is new.
        derive: gives a new identity its id.
    """
    rows = _Rows(known, derive)
    linked = _evidence(sightings, rows)
    for key, (link, user) in linked.items():
        row = rows[key]
        profile = row.profile_id if row.decided else rows[user].profile_id
        moves = row.moves + (key in known and profile != row.profile_id)
        rows[key] = IdentityRow(row.id, *key, profile, link, moves, row.decided)
    owners = [rows[it.user or it.anonymous or _nobody(it)] for it in sightings]
    changed = dict.fromkeys([*rows.fresh, *linked])
    writes = [Write(rows[key], known.get(key)) for key in changed]
    return Resolution(owners, writes, [*_moves(writes)])


class _Rows(dict[Key, IdentityRow]):
    """The rows as they will be after the batch; a key that nobody knows becomes a new row."""

    def __init__(self, known: Mapping[Key, IdentityRow], derive: Derive) -> None:
        super().__init__(known)
        self.fresh: list[Key] = []
        self._derive = derive

    def __missing__(self, key: Key) -> IdentityRow:
        own = self._derive(*key)
        row = self[key] = IdentityRow(own, *key, profile_id=own)
        self.fresh.append(key)
        return row


def _evidence(sightings: Iterable[Sighting], rows: _Rows) -> dict[Key, tuple[Link, Key]]:
    """Give the least link that the batch brings for each anonymous identity, where it decides."""
    least: dict[Key, tuple[Link, Key]] = {}
    for it in sightings:
        if it.user is None or it.anonymous is None:
            continue
        best = least[it.anonymous][0] if it.anonymous in least else rows[it.anonymous].link
        if best is not None and it.time > best.time:
            continue
        link = Link(it.time, it.message_id, rows[it.user].id)
        if best is None or link < best:
            least[it.anonymous] = (link, it.user)
    return least


def _moves(writes: Iterable[Write]) -> Iterable[Moved]:
    for write in writes:
        row, before = write.row, write.expected
        if before is not None and row.link is not None and before.profile_id != row.profile_id:
            yield Moved(row.id, before.profile_id, row.profile_id, row.link.time, row.moves)


def _nobody(sighting: Sighting) -> Key:
    raise ValueError(f"touchpoint {sighting.message_id!r} has neither a user nor an anonymous id")
