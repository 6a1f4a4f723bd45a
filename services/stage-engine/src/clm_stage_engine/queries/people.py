"""Everybody with all of their touchpoints, one person after the other, in the order of their ids.

Memory is bounded by the person with the most touchpoints: rows come through a server-side cursor.
Each person is read at one instant, and no transaction lasts longer than a page of people, so that
reading a history of years neither holds back vacuum nor needs room for sorting it.

Ids are hashes, so those below a bound are a fair sample, and always the same people.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.store.database import Database
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.sampling import bound
from clm_stage_engine.core.snapshot import Snapshot, unpack
from clm_stage_engine.store.reading import Row, touch_of

PAGE: Final = 500
"""People of one transaction."""

SECONDS: Final = 600.0
"""How long a page may take at most: somebody in it may have a million touchpoints."""

_ROWS: Final = 2_000  # rows that the cursor fetches at a time

_AMONG: Final = "($1::text IS NULL OR workspace = $1) AND id > $2 AND id <= $3"
_COUNT: Final = f"SELECT count(*) FROM profile WHERE {_AMONG} AND touchpoints > 0"  # noqa: S608 - constants
_IDS: Final = f"SELECT id FROM profile WHERE {_AMONG} ORDER BY id LIMIT {PAGE}"  # noqa: S608 - constants
_TOUCHES: Final = """
    SELECT i.profile_id, i.id AS identity_id, h.time, h.source, h.message_id, h.body, h.channel,
        h.campaign, NULL::bytea AS snapshot
    FROM identity i JOIN history h ON h.identity_id = i.id WHERE i.profile_id = ANY($1::uuid[])
    UNION ALL
    SELECT i.profile_id, i.id, NULL, NULL, NULL, NULL, NULL, NULL, s.data
    FROM identity i JOIN snapshot s ON s.identity_id = i.id WHERE i.profile_id = ANY($1::uuid[])
    ORDER BY profile_id
"""

FIRST: Final = UUID(int=0)


class Among(Struct, frozen=True):
    """Who is read.

    Attributes:
        workspace: whose people; None for all workspaces'.
        share: of the people, more than 0 and at most 1.
    """

    workspace: str | None
    share: float = 1.0

    @property
    def bound(self) -> UUID:
        """The last id that may belong to it."""
        return bound(self.share)


class Person(Struct, frozen=True):
    """Somebody, and what is kept of them.

    Attributes:
        id: the profile's id.
        touches: the touchpoints, in no order; repeats are dropped by `fold.order`.
        snapshots: what was folded away of them, by identity.
    """

    id: UUID
    touches: list[Touch]
    snapshots: dict[UUID, Snapshot]


async def count(database: Database, among: Among, after: UUID = FIRST) -> int:
    """Count the people with a greater id, those without touchpoints left out.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with database.connection() as db:
        return int(await db.fetchval(_COUNT, among.workspace, after, among.bound))


async def people(database: Database, among: Among, after: UUID = FIRST) -> AsyncGenerator[Person]:
    """Read the people with a greater id, those without touchpoints left out.

    Args:
        database: stage-engine's schema; made with `seconds=SECONDS`.
        among: who is read.
        after: the last one of an earlier run.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    while True:
        async with database.connection() as db, db.transaction(readonly=True):
            rows = await db.fetch(_IDS, among.workspace, after, among.bound)
            if not rows:
                return
            ids = [row["id"] for row in rows]
            person: Person | None = None
            async for row in db.cursor(_TOUCHES, ids, prefetch=_ROWS):
                if person is None or row["profile_id"] != person.id:
                    if person is not None:
                        yield person
                    person = Person(row["profile_id"], [], {})
                _add(person, row)
            if person is not None:
                yield person
        after = ids[-1]


def _add(person: Person, row: Row) -> None:
    if row["snapshot"] is None:
        person.touches.append(touch_of(row))
    else:
        person.snapshots[row["identity_id"]] = unpack(row["snapshot"])
