"""Writes what a batch decided, set-wise, and checks that what it relied on has not changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg
from msgspec import Struct

from clm_common.contracts.journey import IdentityMoved
from clm_common.errors import RaceLost
from clm_common.instant import from_rfc3339, to_datetime
from clm_common.runtime.handler import Connection
from clm_common.store.copying import copy
from clm_stage_engine.core.identity import IdentityRow, Link
from clm_stage_engine.store import packing
from clm_stage_engine.store.columns import columns

_CHANGE_IDENTITIES: Final = """
    UPDATE identity AS known
    SET profile_id = new.profile_id, link_time = new.link_time, link_message = new.link_message,
        link_user = new.link_user, moves = new.moves, decided = new.decided
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::integer[],
            $7::integer[], $8::text[], $9::integer[], $10::integer[])
        AS new (id, profile_id, link_time, link_message, link_user, moves, decided,
            old_message, old_moves, old_decided)
    WHERE known.id = new.id AND known.link_message IS NOT DISTINCT FROM new.old_message
        AND (known.moves, known.decided) = (new.old_moves, new.old_decided)
"""

_OWNERS: Final = "SELECT id, profile_id FROM identity WHERE id = ANY($1::uuid[])"

_MEMBERS: Final = "SELECT id FROM identity WHERE profile_id = ANY($1::uuid[])"


_ADD_NAMED: Final = """
    INSERT INTO identifier AS known (workspace, kind, value, identity_id, said_at, said_by)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[],
        $6::text[])
    ON CONFLICT (workspace, kind, value, identity_id) DO UPDATE
    SET said_at = excluded.said_at, said_by = excluded.said_by
    WHERE (excluded.said_at, excluded.said_by COLLATE "C")
        < (known.said_at, known.said_by COLLATE "C")
"""

_MOVE_COLUMNS: Final = (
    "partition",
    "seq",
    "workspace",
    "profile_id",
    "version",
    "identity_id",
    "from_profile",
    "to_profile",
    "at",
    "emptied",
    "moves",
)


class Named(Struct, frozen=True):
    """An attribute that a touchpoint named: an email address, an id of another system.

    Attributes:
        time: when, µs.
        message_id: the touchpoint's; with `time` it tells which of two was said first.
        identity: whose touchpoint it was.
        kind: of the identifier.
        value: in its form.
    """

    time: int
    message_id: str
    identity: IdentityRow
    kind: str
    value: str

    @property
    def place(self) -> tuple[int, str]:
        """When it was said, to the order."""
        return self.time, self.message_id


async def add_named(tx: Connection, named: Collection[Named]) -> None:
    """Write attributes of identities, and keep of each when it was said first.

    Raises:
        RaceLost: one of the identities was erased since it was read.
    """
    rows = [
        (row.workspace, it.kind, it.value, row.id, to_datetime(it.time), it.message_id)
        for it in named
        for row in (it.identity,)
    ]
    if rows:
        try:
            await tx.execute(_ADD_NAMED, *columns(rows, 6))
        except asyncpg.ForeignKeyViolationError as error:
            raise outdated("identity") from error


async def append_history(tx: Connection, rows: Sequence[bytes]) -> None:
    """Append packed touchpoints."""
    if rows:
        await copy(tx, "history", packing.HISTORY, rows)


async def append_changes(tx: Connection, rows: Sequence[bytes]) -> None:
    """Append packed stage changes."""
    if rows:
        await copy(tx, "stage_change", packing.CHANGES, rows)


async def append_explanations(tx: Connection, rows: Sequence[bytes]) -> None:
    """Append packed explanations."""
    if rows:
        await copy(tx, "explanation", packing.EXPLANATIONS, rows)


async def append_moves(tx: Connection, rows: Sequence[tuple[int, int, IdentityMoved]]) -> None:
    """Append moves of identities, each with its partition and seq."""
    records = [
        (
            partition,
            seq,
            it.workspace,
            it.profile_id,
            it.version,
            it.identity_id,
            it.from_profile,
            it.to_profile,
            to_datetime(from_rfc3339(it.time)),
            it.emptied,
            it.moves,
        )
        for partition, seq, it in rows
    ]
    if records:
        await tx.copy_records_to_table("identity_moved", records=records, columns=_MOVE_COLUMNS)


async def add_identities(tx: Connection, identities: Collection[IdentityRow]) -> None:
    """Insert identities that were not there.

    Raises:
        RaceLost: somebody else has inserted one of them since.
    """
    if identities:
        packed = [packing.identity(it) for it in sorted(identities, key=lambda it: it.id)]
        try:
            await copy(tx, "identity", packing.IDENTITIES, packed)
        except asyncpg.UniqueViolationError as error:
            raise outdated("identity") from error


async def change_identities(
    tx: Connection, changed: Collection[tuple[IdentityRow, IdentityRow]]
) -> None:
    """Write identities' evidence and profiles, each with the row that was read.

    Raises:
        RaceLost: one of them has changed since.
    """
    rows = [
        (
            it.id,
            it.profile_id,
            *_link(it.link),
            it.moves,
            it.decided,
            was.link and was.link.message_id,
            was.moves,
            was.decided,
        )
        for it, was in sorted(changed, key=lambda item: item[0].id)
    ]
    if rows:
        status = await tx.execute(_CHANGE_IDENTITIES, *columns(rows, 10))
        if written(status) != len(rows):
            raise outdated("identity")


async def check_identities(tx: Connection, relied: Collection[IdentityRow]) -> None:
    """See that identities still map to the profiles that a batch counted on.

    Raises:
        RaceLost: one of them maps to another profile by now.
    """
    expected = {it.id: it.profile_id for it in relied}
    if expected:
        rows = await tx.fetch(_OWNERS, list(expected))
        if {row["id"]: row["profile_id"] for row in rows} != expected:
            raise RaceLost("store.identity_moved", "an identity has moved since it was read")


async def check_members(
    tx: Connection, profiles: Collection[UUID], members: Collection[UUID]
) -> None:
    """See that profiles still have just these identities.

    Raises:
        RaceLost: one more or less belongs to them by now.
    """
    rows = await tx.fetch(_MEMBERS, list(profiles))
    if {row["id"] for row in rows} != set(members):
        raise outdated("identity")


def _link(link: Link | None) -> tuple[object, ...]:
    return (
        (None, None, None) if link is None else (to_datetime(link.time), link.message_id, link.user)
    )


def written(status: str) -> int:
    """Read how many rows a command wrote from its status, "UPDATE 5"."""
    return int(status.rsplit(" ", 1)[1])


def outdated(what: str) -> RaceLost:
    """Give what says that rows have changed since they were read."""
    return RaceLost(f"store.{what}_changed", f"a {what} has changed since it was read")
