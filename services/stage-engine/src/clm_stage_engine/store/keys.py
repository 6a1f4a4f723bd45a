"""The keys of people: made where there is none, deleted with the person, kept wrapped."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from clm_common.contracts.sealing import KEY_BYTES, Seal
from clm_common.errors import Unavailable
from clm_common.runtime.handler import Connection
from clm_common.store.database import Database
from clm_common.store.vault import Vault
from clm_stage_engine.core.sealed import Grant, Head
from clm_stage_engine.store.columns import columns

Row = Any  # Any: asyncpg publishes no types; a record

PURPOSE: Final = b"clm.person-key"
"""What the vault of these keys is for."""

_HELD: Final = """
    SELECT profile_id, id, since, wrapped FROM person_key WHERE profile_id = ANY($1::uuid[])
"""

# Whoever erases holds the table alone, so that no key is made for somebody on their way out.
_MAKING: Final = "LOCK TABLE person_key IN ROW EXCLUSIVE MODE"
_DELETING: Final = "LOCK TABLE person_key IN SHARE ROW EXCLUSIVE MODE"

_MAKE: Final = """
    INSERT INTO person_key (id, workspace, profile_id, since, wrapped)
    SELECT new.id, new.workspace, new.profile_id, coalesce(gone.version, 0) + 1, new.wrapped
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::bytea[])
        AS new (profile_id, version, workspace, id, wrapped)
    LEFT JOIN (
        SELECT profile_id, max(version) AS version FROM profile_erased
        WHERE profile_id = ANY($1::uuid[]) GROUP BY profile_id
    ) AS gone ON gone.profile_id = new.profile_id
    WHERE new.version > coalesce(gone.version, 0)
    ORDER BY new.profile_id
    ON CONFLICT (profile_id) WHERE profile_id IS NOT NULL DO NOTHING
"""

_DELETE: Final = """
    UPDATE person_key SET wrapped = NULL, profile_id = NULL, erased_at = now()
    WHERE profile_id = ANY($1::uuid[])
"""

_ASKED: Final = "SELECT id, workspace, wrapped FROM person_key WHERE id = ANY($1::uuid[])"

_SEALED: Final = """
    INSERT INTO river_sealed (partition, since) VALUES ($1, CASE WHEN $2 THEN NULL ELSE now() END)
    ON CONFLICT DO NOTHING
"""

_PLAIN: Final = "DELETE FROM river_sealed WHERE partition = $1"

_SINCE: Final = "SELECT count(*) AS partitions, max(since) AS since FROM river_sealed"


class Keys:
    """Gives people's keys; who was erased has none."""

    def __init__(self, database: Database, vault: Vault) -> None:
        """Make it.

        Args:
            database: stage-engine's schema.
            vault: wraps the keys.
        """
        self._database = database
        self._vault = vault

    async def granted(self, heads: Sequence[Head]) -> dict[UUID, Grant]:
        """Give the keys of whom these facts are about; a key is made for whoever has none.

        Raises:
            Unavailable: PostgreSQL is away, or no key of `CLM_JOURNEY_KEY` has wrapped one of them.
        """
        newest: dict[UUID, Head] = {}
        for it in heads:
            known = newest.get(it.profile_id)
            if not it.is_plain and (known is None or known.version < it.version):
                newest[it.profile_id] = it
        if not newest:
            return {}
        async with self._database.connection() as db:
            rows = await db.fetch(_HELD, [*newest])
        if missing := newest.keys() - {row["profile_id"] for row in rows}:
            async with self._database.transaction() as tx:
                await self._make(tx, [newest[it] for it in missing])
            async with self._database.connection() as db:
                rows += await db.fetch(_HELD, [*missing])
        return {row["profile_id"]: Grant(self._seal(row), row["since"]) for row in rows}

    async def _make(self, tx: Connection, heads: Sequence[Head]) -> None:
        rows = [self._row(it) for it in heads]
        await tx.execute(_MAKING)
        await tx.execute(_MAKE, *columns(rows, 5))

    def _row(self, head: Head) -> tuple[UUID, int, str, UUID, bytes]:
        name = uuid4()
        wrapped = self._vault.seal(secrets.token_hex(KEY_BYTES), name)
        return head.profile_id, head.version, head.workspace, name, wrapped

    def _seal(self, row: Row) -> Seal:
        return Seal(row["id"], self._opened(row))

    async def asked(
        self, workspace: str | None, names: Collection[UUID]
    ) -> dict[UUID, bytes | None]:
        """Give keys by their ids, None for those that were deleted; others are left out.

        Args:
            workspace: whose; None for all.
            names: the ids.

        Raises:
            Unavailable: PostgreSQL is away, or no key of `CLM_JOURNEY_KEY` has wrapped one of them.
        """
        async with self._database.connection() as db:
            rows = await db.fetch(_ASKED, [*names])
        return {
            row["id"]: None if row["wrapped"] is None else self._opened(row)
            for row in rows
            if workspace in {None, row["workspace"]}
        }

    def _opened(self, row: Row) -> bytes:
        key = self._vault.open(row["wrapped"], row["id"])
        if key is None:
            message = "CLM_JOURNEY_KEY: a person's key was wrapped with another one; add it behind"
            raise Unavailable("journey.key_other", message)
        return bytes.fromhex(key)


def keys_of(wrapping: Sequence[bytes], database: Database) -> Keys:
    """Give the keys of people, wrapped with the settings' keys, the newest first."""
    return Keys(database, Vault(PURPOSE, wrapping))


async def forget(tx: Connection, profiles: Sequence[UUID]) -> None:
    """Delete the keys of these profiles; nothing that was sealed with them is readable any more."""
    await tx.execute(_DELETING)
    await tx.execute(_DELETE, profiles)


async def note_sealed(db: Connection, partition: int, *, first: bool) -> None:
    """Write down that a partition's facts are sealed from now on.

    Args:
        db: a connection.
        partition: which.
        first: whether none of them was ever published before.
    """
    await db.execute(_SEALED, partition, first)


async def note_plain(db: Connection, partition: int) -> None:
    """Write down that a partition's facts are published plain from now on."""
    await db.execute(_PLAIN, partition)


async def sealed_since(db: Connection) -> Mapping[str, Any]:  # Any: a record
    """Tell of how many partitions facts are sealed, and since when of the last of them."""
    row: Mapping[str, Any] = await db.fetchrow(_SINCE)
    return row
