"""How far the sweep of a publication is, by partition."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.runtime.handler import Connection

_PLACE: Final = """
    SELECT after, done_at IS NOT NULL AS done FROM lifecycle_sweep
    WHERE publication = $1 AND partition = $2
"""
_SAVE: Final = """
    INSERT INTO lifecycle_sweep AS known (publication, partition, after, folded, done_at)
    VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN now() END)
    ON CONFLICT (publication, partition) DO UPDATE
    SET after = excluded.after, folded = known.folded + excluded.folded, done_at = excluded.done_at
"""
_DONE: Final = """
    SELECT count(*) FILTER (WHERE done_at IS NOT NULL) AS partitions,
        coalesce(sum(folded), 0)::bigint AS folded, max(done_at) AS done_at
    FROM lifecycle_sweep WHERE publication = $1
"""

START: Final = UUID(int=0)


class Place(Struct, frozen=True):
    """How far it is: the last id looked at, and whether there are no others."""

    after: UUID
    done: bool


class Total(Struct, frozen=True):
    """How far it is in all: partitions that are done, people folded again."""

    partitions: int
    folded: int


async def place(tx: Connection, publication: int, partition: int) -> Place:
    """Give how far a partition is; at the start where nothing is written."""
    row = await tx.fetchrow(_PLACE, publication, partition)
    return Place(START, done=False) if row is None else Place(row["after"], row["done"])


async def save(tx: Connection, publication: int, partition: int, at: Place, folded: int) -> None:
    """Write how far it is, and how many people it folded again since the last time."""
    await tx.execute(_SAVE, publication, partition, at.after, folded, at.done)


async def total(db: Connection, publication: int) -> Total:
    """Give how far it is in all."""
    row = await db.fetchrow(_DONE, publication)
    return Total(row["partitions"], row["folded"])
