"""Tracking plans, of a workspace or of one source, and what violated them."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.store.database import Connection, Database
from clm_ingest.core.judging import Plan
from clm_ingest.core.plan import TrackingPlan
from clm_ingest.store.sources import Owner

log = structlog.get_logger()

MOST_VIOLATIONS: Final = 5_000
"""Different violations kept for one workspace; names of events are the senders' choice."""

Row = Any  # Any: asyncpg publishes no types; a record
_COLUMNS: Final = "source, version, document::text, updated_at, updated_by"
_MINE: Final = "workspace = $1 AND source IS NOT DISTINCT FROM $2"


class StoredPlan(Struct, frozen=True):
    """A plan as it is stored.

    Attributes:
        source: whose it is; None is the workspace's, for sources without one of their own.
        version: changes with every change.
        plan: the document.
        updated_at: when it was set.
        updated_by: by whom.
    """

    source: UUID | None
    version: int
    plan: TrackingPlan
    updated_at: datetime
    updated_by: str


class ViolationCount(Struct, frozen=True):
    """How often one rule was violated; see `core.judging`."""

    source: str
    event: str
    version: int
    path: str
    rule: str
    reaction: str
    count: int
    first_seen: datetime
    last_seen: datetime


class Plans:
    """The tables of plans and violations."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: dict[Owner, tuple[int, Plan | None]] = {}

    async def put(
        self,
        workspace: str,
        source: UUID | None,
        plan: TrackingPlan,
        by: str,
        *,
        versions: frozenset[int] | None,
    ) -> StoredPlan:
        """Set a plan.

        Args:
            workspace: the workspace's key.
            source: whose plan; None is the workspace's.
            plan: the document.
            by: who sets it.
            versions: the versions that may be replaced; None replaces any, or none.

        Raises:
            Rejected: 404 if there is no such source, 412 if the plan has another version.
        """
        query = f"""
            INSERT INTO plan (workspace, source, document, updated_by) VALUES ($1, $2, $3::json, $4)
            ON CONFLICT (workspace, source) DO UPDATE SET document = excluded.document,
                updated_by = excluded.updated_by, updated_at = now(),
                version = nextval('plan_version')
            RETURNING {_COLUMNS}
        """  # noqa: S608 - made of constants
        document = plan.model_dump_json(by_alias=True)
        async with self._db.transaction() as tx:
            await _check_source(tx, workspace, source)
            await _check_version(tx, workspace, source, versions)
            return _stored(await tx.fetchrow(query, workspace, source, document, by))

    async def get(self, workspace: str, source: UUID | None) -> StoredPlan:
        """Give a plan.

        Raises:
            Rejected: 404 if there is none.
        """
        query = f"SELECT {_COLUMNS} FROM plan WHERE {_MINE}"  # noqa: S608 - made of constants
        async with self._db.connection() as raw:
            row = await raw.fetchrow(query, workspace, source)
        if row is None:
            raise _missing(source)
        return _stored(row)

    async def list(self, workspace: str) -> Sequence[StoredPlan]:
        """Give a workspace's plans, its own first."""
        query = f"""
            SELECT {_COLUMNS} FROM plan WHERE workspace = $1 ORDER BY source NULLS FIRST LIMIT 1000
        """  # noqa: S608 - made of constants
        async with self._db.connection() as raw:
            return [_stored(row) for row in await raw.fetch(query, workspace)]

    async def delete(
        self, workspace: str, source: UUID | None, *, versions: frozenset[int] | None
    ) -> None:
        """Remove a plan.

        Raises:
            Rejected: 404 if there is none, 412 if it has another version.
        """
        async with self._db.transaction() as tx:
            await _check_version(tx, workspace, source, versions)
            query = f"DELETE FROM plan WHERE {_MINE} RETURNING TRUE"  # noqa: S608 - made of constants
            if not await tx.fetchval(query, workspace, source):
                raise _missing(source)

    async def current(self) -> Mapping[Owner, Plan]:
        """Give every plan, compiled; those that have not changed are not read again."""
        async with self._db.connection() as raw:
            rows: Sequence[Row] = await raw.fetch(
                "SELECT workspace, source::text, version FROM plan"
            )
            versions: dict[Owner, int] = {(row[0], row[1]): row[2] for row in rows}
            known = {
                owner: kept for owner, kept in self._known.items() if versions.get(owner) == kept[0]
            }
            for workspace, source in versions.keys() - known.keys():
                row = await raw.fetchrow(
                    f"SELECT version, document::text FROM plan WHERE {_MINE}",  # noqa: S608 - made of constants
                    workspace,
                    None if source is None else UUID(source),
                )
                if row is not None:
                    known[workspace, source] = row[0], await _compiled(workspace, row[1])
        self._known = known
        return {owner: plan for owner, (_, plan) in known.items() if plan is not None}

    async def violations(
        self, workspace: str, *, source: str | None, event: str | None, limit: int
    ) -> Sequence[ViolationCount]:
        """Give what was violated, the most frequent first."""
        query = """
            SELECT source, event, version, path, rule, reaction, count, first_seen, last_seen
            FROM plan_violation
            WHERE workspace = $1 AND ($2::text IS NULL OR source = $2)
                AND ($3::text IS NULL OR event = $3)
            ORDER BY count DESC, source, event, version, path, rule, reaction LIMIT $4
        """
        async with self._db.connection() as raw:
            rows = await raw.fetch(query, workspace, source, event, limit)
            return [ViolationCount(*row) for row in rows]

    async def forget_violations(self, workspace: str) -> None:
        """Begin counting anew."""
        async with self._db.transaction() as tx:
            await tx.execute("DELETE FROM plan_violation WHERE workspace = $1", workspace)

    async def count(self, rows: Sequence[tuple[object, ...]], now: int) -> None:
        """Add to the counts; beyond `MOST_VIOLATIONS` of a workspace no new kind is begun.

        Args:
            rows: workspace, source, event, version, path, rule, reaction and count of each.
            now: µs.
        """
        query = """
            INSERT INTO plan_violation AS kept (workspace, source, event, version, path, rule,
                reaction, count, first_seen, last_seen)
            SELECT new.*, $9, $9
            FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::text[],
                $7::text[], $8::bigint[]) AS new
                    (workspace, source, event, version, path, rule, reaction, count)
            WHERE (
                SELECT count(*) FROM plan_violation WHERE workspace = new.workspace
            ) < $10 OR EXISTS (
                SELECT FROM plan_violation AS old
                WHERE (old.workspace, old.source, old.event, old.version, old.path, old.rule,
                    old.reaction) = (new.workspace, new.source, new.event, new.version, new.path,
                    new.rule, new.reaction)
            )
            ORDER BY 1, 2, 3, 4, 5, 6, 7
            ON CONFLICT (workspace, source, event, version, path, rule, reaction) DO UPDATE
            SET count = kept.count + excluded.count, last_seen = excluded.last_seen
        """
        columns = [list(column) for column in zip(*rows, strict=True)]
        async with self._db.transaction() as tx:
            await tx.execute(query, *columns, to_datetime(now), MOST_VIOLATIONS)


async def _compiled(workspace: str, document: str) -> Plan | None:
    """Compile a plan off the loop; one that this version cannot read is passed over, and said."""
    try:
        return await asyncio.to_thread(lambda: Plan(TrackingPlan.model_validate_json(document)))
    except ValueError as error:
        log.error("plan.unreadable", workspace=workspace, reason=str(error)[:500])  # noqa: TRY400 - a trace says nothing here
        return None


async def _check_source(tx: Connection, workspace: str, source: UUID | None) -> None:
    query = "SELECT TRUE FROM source WHERE workspace = $1 AND id = $2"
    if source is not None and not await tx.fetchval(query, workspace, source):
        raise Rejected(404, "source.unknown", f"there is no source {source}", id=str(source))


async def _check_version(
    tx: Connection, workspace: str, source: UUID | None, versions: frozenset[int] | None
) -> None:
    if versions is None:
        return
    query = f"SELECT version FROM plan WHERE {_MINE} FOR UPDATE"  # noqa: S608 - made of constants
    if await tx.fetchval(query, workspace, source) not in versions:
        detail = "the plan has changed since it was read; read it again and repeat the change"
        raise Rejected(412, "plan.changed", detail)


def _stored(row: Row) -> StoredPlan:
    source, version, document, at, by = row
    return StoredPlan(source, version, TrackingPlan.model_validate_json(document), at, by)


def _missing(source: UUID | None) -> Rejected:
    whose = "the workspace" if source is None else f"source {source}"
    return Rejected(404, "plan.unknown", f"{whose} has no tracking plan of its own")
