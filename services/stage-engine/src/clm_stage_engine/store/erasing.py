"""The rows of an erasure: what is asked, what goes, and what stays so that nobody comes back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.journey import ProfileErased
from clm_common.errors import RaceLost
from clm_common.instant import from_datetime, from_rfc3339, to_datetime, to_rfc3339
from clm_common.runtime.handler import Connection
from clm_stage_engine.store import decisions, snapshots
from clm_stage_engine.store.columns import columns

Row = Any  # Any: asyncpg publishes no types; a record

_WAITING: Final = """
    SELECT id, workspace, profile_id FROM erasure
    WHERE partition = $1 AND done_at IS NULL ORDER BY asked_at, id LIMIT $2
"""

_OWNED: Final = "SELECT DISTINCT profile_id FROM identity WHERE profile_id = ANY($1::uuid[])"

_FORGET: Final = (
    "DELETE FROM explanation WHERE profile_id = ANY($1::uuid[])",
    "DELETE FROM profile_standing WHERE profile_id = ANY($1::uuid[])",
    "DELETE FROM webhook_delivery WHERE profile_id = ANY($1::uuid[])",
    "DELETE FROM stage_change WHERE profile_id = ANY($1::uuid[])",
    """
    DELETE FROM identity_moved
    WHERE profile_id = ANY($1::uuid[]) OR identity_id = ANY($1::uuid[])
    """,
)

_FORGET_HISTORY: Final = """
    WITH gone AS (DELETE FROM history WHERE identity_id = ANY($1::uuid[]) RETURNING identity_id)
    SELECT identity_id, count(*) AS touchpoints FROM gone GROUP BY identity_id
"""

_FORGET_LATE: Final = "DELETE FROM late_touchpoint WHERE identity_id = ANY($1::uuid[])"

_FORGET_IDENTITIES: Final = "DELETE FROM identity WHERE id = ANY($1::uuid[])"

_MARK: Final = """
    INSERT INTO erased_identity AS known (hash, until, partition, seq)
    SELECT * FROM unnest($1::bytea[], $2::timestamptz[], $3::integer[], $4::bigint[])
    ON CONFLICT (hash) DO UPDATE SET until = greatest(known.until, excluded.until),
        partition = excluded.partition, seq = excluded.seq
"""

_PUBLISH: Final = """
    INSERT INTO profile_erased
        (partition, seq, workspace, profile_id, version, erasure, part, parts, at)
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::uuid[], $5::bigint[],
        $6::uuid[], $7::integer[], $8::integer[], $9::timestamptz[])
"""

_DONE: Final = """
    UPDATE erasure SET done_at = new.at, parts = new.parts, touchpoints = new.touchpoints,
        profile_id = NULL
    FROM unnest($1::uuid[], $2::timestamptz[], $3::integer[], $4::bigint[])
        AS new (id, at, parts, touchpoints)
    WHERE erasure.id = new.id AND done_at IS NULL
"""

_NEW_MARKS: Final = """
    SELECT hash, until, mark.partition, mark.seq FROM erased_identity AS mark
    LEFT JOIN unnest($1::integer[], $2::bigint[]) AS seen (partition, seq)
        ON seen.partition = mark.partition
    WHERE mark.seq > coalesce(seen.seq, 0)
"""

_NEW_FACTS: Final = """
    SELECT profile_id, fact.partition, fact.seq FROM profile_erased AS fact
    LEFT JOIN unnest($1::integer[], $2::bigint[]) AS seen (partition, seq)
        ON seen.partition = fact.partition
    WHERE fact.seq > coalesce(seen.seq, 0)
"""


class Wanted(Struct, frozen=True):
    """An erasure that somebody asked for and nobody has done."""

    id: UUID
    workspace: str
    profile: UUID


class Mark(Struct, frozen=True):
    """An identifier that must stay out: events up to an instant (µs) are not taken in."""

    hash: bytes
    until: int
    seq: int


async def waiting(tx: Connection, partition: int, limit: int) -> list[Wanted]:
    """Give the oldest erasures that a partition's owner is to do."""
    rows = await tx.fetch(_WAITING, partition, limit)
    return [Wanted(row["id"], row["workspace"], row["profile_id"]) for row in rows]


async def with_identities(tx: Connection, profiles: Collection[UUID]) -> set[UUID]:
    """Tell which of these profiles have an identity."""
    return {row["profile_id"] for row in await tx.fetch(_OWNED, list(profiles))}


async def forget(
    tx: Connection, profiles: Sequence[UUID], identities: Sequence[UUID]
) -> dict[UUID, int]:
    """Delete everything of these profiles but the profiles themselves.

    Returns:
        How many touchpoints each identity had.

    Raises:
        RaceLost: one of the identities is not there any more.
    """
    rows = await tx.fetch(_FORGET_HISTORY, identities)
    for statement in _FORGET:
        await tx.execute(statement, profiles)
    await tx.execute(_FORGET_LATE, [*profiles, *identities])
    await snapshots.forget(tx, [*profiles, *identities])
    await decisions.forget(tx, identities)
    status: str = await tx.execute(_FORGET_IDENTITIES, identities)
    if int(status.rsplit(" ", 1)[1]) != len(identities):
        raise RaceLost("store.identity_changed", "an identity has gone since it was read")
    return {row["identity_id"]: row["touchpoints"] for row in rows}


async def mark(tx: Connection, partition: int, marks: Sequence[Mark]) -> None:
    """Remember who must stay out, and until when."""
    rows = sorted((it.hash, to_datetime(it.until), partition, it.seq) for it in marks)
    await tx.execute(_MARK, *columns(rows, 4))


async def publish(
    tx: Connection, partition: int, facts: Sequence[tuple[int, ProfileErased]]
) -> None:
    """Append the facts with their seq."""
    rows = [
        (
            partition,
            seq,
            it.workspace,
            it.profile_id,
            it.version,
            it.erasure,
            it.part,
            it.parts,
            to_datetime(from_rfc3339(it.time)),
        )
        for seq, it in facts
    ]
    await tx.execute(_PUBLISH, *columns(rows, 9))


async def done(tx: Connection, rows: Sequence[tuple[UUID, int, int, int]]) -> None:
    """Write erasures off: (id, instant in µs, profiles, touchpoints).

    Raises:
        RaceLost: one was done already.
    """
    written = [(each, to_datetime(at), *counts) for each, at, *counts in rows]
    status: str = await tx.execute(_DONE, *columns(written, 4))
    if int(status.rsplit(" ", 1)[1]) != len(rows):
        raise RaceLost("store.erasure_done", "an erasure was done by somebody else")


async def salt(tx: Connection) -> bytes:
    """Give the salt of the hashes."""
    found: bytes = await tx.fetchval("SELECT salt FROM erasure_salt")
    return found


async def new_marks(tx: Connection, seen: dict[int, int]) -> list[Row]:
    """Give the marks (hash, until, partition, seq) after what was seen of each partition."""
    rows: list[Row] = await tx.fetch(_NEW_MARKS, list(seen), list(seen.values()))
    return rows


async def new_facts(tx: Connection, seen: dict[int, int]) -> list[Row]:
    """Give the facts (profile_id, partition, seq) after what was seen of each partition."""
    rows: list[Row] = await tx.fetch(_NEW_FACTS, list(seen), list(seen.values()))
    return rows


def fact_of(row: Row) -> ProfileErased:
    """Read an erased profile as it was, or is to be, published."""
    return ProfileErased(
        workspace=row["workspace"],
        profile_id=row["profile_id"],
        version=row["version"],
        erasure=row["erasure"],
        part=row["part"],
        parts=row["parts"],
        time=to_rfc3339(from_datetime(row["at"])),
    )
