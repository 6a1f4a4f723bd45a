"""Profiles whose rows are looked at against their history, and marked to be folded again."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.runtime.handler import Connection
from clm_stage_engine.profiles import LOST, newborn
from clm_stage_engine.store import reading, standings
from clm_stage_engine.store.reading import Row

PAGE: Final = 500
"""People looked at in one go at most."""

_AMONG: Final = """
    ($1::text IS NULL OR workspace = $1) AND id > $2 AND ($3::integer[] IS NULL OR home = ANY($3))
    AND ($4::uuid[] IS NULL OR id = ANY($4))
"""
_COUNT: Final = f"SELECT count(*) FROM profile WHERE {_AMONG}"  # noqa: S608 - constants
_PEOPLE: Final = f"SELECT * FROM profile WHERE {_AMONG} ORDER BY id LIMIT {PAGE}"  # noqa: S608 - constants

_MISSING: Final = """
    SELECT DISTINCT profile_id AS id FROM identity AS mine
    WHERE ($1::text IS NULL OR workspace = $1) AND profile_id > $2
        AND ($3::uuid IS NULL OR profile_id <= $3)
        AND ($4::uuid[] IS NULL OR profile_id = ANY($4))
        AND NOT EXISTS (SELECT FROM profile WHERE id = mine.profile_id)
    ORDER BY profile_id
"""

_MARK: Final = f"""
    UPDATE profile SET version = version + 1, state = NULL, definition = '{LOST}', wake_at = 'epoch'
    WHERE id = ANY($1::uuid[])
"""  # noqa: S608 - constants

_MARKED: Final = (
    f"SELECT count(*) FROM profile WHERE id = ANY($1::uuid[]) AND definition = '{LOST}'"  # noqa: S608 - constants
)

_VERSION: Final = """
    SELECT greatest(
        (SELECT max(version) FROM stage_change WHERE profile_id = $1),
        (SELECT max(version) FROM identity_moved WHERE profile_id = $1),
        (SELECT max(version) FROM history AS touch JOIN identity AS mine ON mine.id = identity_id
            WHERE mine.profile_id = $1 AND touch.profile_id = $1),
        0)
"""

_ADD: Final = f"""
    INSERT INTO profile (id, workspace, version, home, user_id, touchpoints, definition, wake_at)
    VALUES ($1, $2, $3, $4, $5, 0, '{LOST}', 'epoch') ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - constants


class Among(Struct, frozen=True):
    """Who is looked at; None leaves a thing open.

    Attributes:
        workspace: whose people.
        partitions: whose owners watch them.
        profiles: only these.
    """

    workspace: str | None = None
    partitions: list[int] | None = None
    profiles: list[UUID] | None = None


async def count(db: Connection, among: Among, after: UUID) -> int:
    """Count the people with a greater id."""
    it = among
    return int(await db.fetchval(_COUNT, it.workspace, after, it.partitions, it.profiles))


async def people(db: Connection, among: Among, after: UUID) -> tuple[Sequence[Row], list[UUID]]:
    """Give the next people by id.

    Returns:
        Their rows, and the ids, up to the last of these, of profiles that have no row at all.
    """
    it = among
    rows: Sequence[Row] = await db.fetch(_PEOPLE, it.workspace, after, it.partitions, it.profiles)
    last = rows[-1]["id"] if len(rows) == PAGE else None
    missing = await db.fetch(_MISSING, it.workspace, after, last, it.profiles)
    return rows, [row["id"] for row in missing]


async def rows_of(db: Connection, profiles: Collection[UUID]) -> Sequence[Row]:
    """Give the rows of profiles."""
    rows: Sequence[Row] = await db.fetch("SELECT * FROM profile WHERE id = ANY($1)", list(profiles))
    return rows


async def mark(tx: Connection, profiles: Collection[UUID], missing: Collection[UUID]) -> None:
    """Have the owners of their partitions fold profiles again; make rows where there are none.

    Whoever holds one of them in memory meets another version and reads it again.
    """
    await tx.execute(_MARK, list(profiles))
    await standings.forget(tx, profiles)
    for identity in await reading.load_identities(tx, missing):
        born = newborn(identity, TOUCHPOINTS.partitions, LOST)
        version = await tx.fetchval(_VERSION, born.id) + 1
        await tx.execute(_ADD, born.id, born.workspace, version, born.home, born.user_id)


async def marked(db: Connection, profiles: Collection[UUID]) -> int:
    """Count those of these profiles that nobody has folded again yet."""
    return int(await db.fetchval(_MARKED, list(profiles)))
