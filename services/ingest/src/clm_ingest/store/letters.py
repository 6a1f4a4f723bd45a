"""The quarantine's index: one row for each dead letter, whose original lies on the topic."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.store.database import Connection, Database
from clm_ingest.core.letters import Entry
from clm_ingest.store.cursors import Place

Row = Any  # Any: asyncpg publishes no types; a record

_COLUMNS: Final = (
    "id, workspace, source, reason, detail, message_id, at, topic, size, truncated, "
    "dlq_partition, dlq_offset, replayed_at, replayed_by"
)
_WANTED: Final = """
    (workspace = $1 OR $2 AND workspace IS NULL)
    AND ($3::text IS NULL OR reason = $3)
    AND ($4::text IS NULL OR source = $4)
    AND ($5::text IS NULL OR message_id = $5)
    AND ($6::timestamptz IS NULL OR at >= $6)
    AND ($7::timestamptz IS NULL OR at < $7)
    AND ($8::boolean IS NULL OR (replayed_at IS NOT NULL) = $8)
"""
_ADD: Final = """
    INSERT INTO letter (id, workspace, source, reason, detail, message_id, at, topic, size,
        truncated, dlq_partition, dlq_offset)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::timestamptz[], $8::text[], $9::integer[], $10::boolean[], $11::integer[], $12::bigint[])
    ON CONFLICT (id) DO NOTHING
"""


class Letter(Struct, frozen=True):
    """A dead letter as the index has it; see `core.letters.Entry`.

    Attributes:
        replayed_at: when it was replayed, if it was.
        replayed_by: who did it.
    """

    id: UUID
    workspace: str | None
    source: str | None
    reason: str
    detail: str
    message_id: str | None
    at: datetime
    topic: str | None
    size: int
    truncated: bool
    partition: int
    offset: int
    replayed_at: datetime | None
    replayed_by: str | None


class Scope(Struct, frozen=True):
    """Whose letters may be seen.

    Attributes:
        workspace: the workspace's key.
        strays: also those whose workspace cannot be told.
    """

    workspace: str
    strays: bool = False


class Filter(Struct, frozen=True):
    """Which letters are wanted; None is any.

    Attributes:
        reason: why they were refused.
        source: the source's id.
        message_id: the event's id.
        since: refused at or after.
        until: refused before.
        replayed: whether they were replayed.
    """

    reason: str | None = None
    source: str | None = None
    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    replayed: bool | None = None


class Letters:
    """The table of dead letters."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self, scope: Scope, wanted: Filter, *, after: Place, limit: int, newest_first: bool = True
    ) -> Sequence[Letter]:
        """Give up to `limit` letters beyond a place, newest or oldest first."""
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        query = f"""
            SELECT {_COLUMNS} FROM letter WHERE {_WANTED} AND (at, id) {sign} ($9, $10)
            ORDER BY at {order}, id {order} LIMIT $11
        """  # noqa: S608 - made of constants
        values = (
            scope.workspace, scope.strays, wanted.reason, wanted.source, wanted.message_id,
            wanted.since, wanted.until, wanted.replayed, after.at, after.id, limit,
        )  # fmt: skip
        async with self._db.connection() as raw:
            return [Letter(*row) for row in await raw.fetch(query, *values)]

    async def get(self, scope: Scope, letter: UUID) -> Letter:
        """Give a letter.

        Raises:
            Rejected: 404 if there is none that may be seen.
        """
        query = f"""
            SELECT {_COLUMNS} FROM letter
            WHERE id = $3 AND (workspace = $1 OR $2 AND workspace IS NULL)
        """  # noqa: S608 - made of constants
        async with self._db.connection() as raw:
            row: Row = await raw.fetchrow(query, scope.workspace, scope.strays, letter)
        if row is None:
            detail = f"there is no letter {letter} in the quarantine"
            raise Rejected(404, "letter.unknown", detail, id=str(letter))
        return Letter(*row)

    async def mark(self, letters: Sequence[UUID], by: str) -> None:
        """Note that letters were replayed, and by whom."""
        query = "UPDATE letter SET replayed_at = now(), replayed_by = $2 WHERE id = ANY ($1)"
        async with self._db.transaction() as tx:
            await tx.execute(query, list(letters), by)


async def add(tx: Connection, entries: Sequence[Entry]) -> None:
    """Write lines of the index; one that is there stays as it is."""
    if not entries:
        return
    columns = [
        [
            to_datetime(value) if name == "at" else value
            for value in (getattr(entry, name) for entry in entries)
        ]
        for name in Entry.__struct_fields__
    ]
    await tx.execute(_ADD, *columns)


async def prune(tx: Connection, age: timedelta) -> None:
    """Forget letters whose originals the topic does not hold any more."""
    await tx.execute("DELETE FROM letter WHERE indexed_at < now() - $1::interval", age)
