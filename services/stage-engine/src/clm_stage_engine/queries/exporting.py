"""One person's data as one JSON document, written a piece at a time.

Memory is bounded by a page of touchpoints and by the person's identities, whatever the number of
touchpoints. Each page is a statement of its own; what is recorded after the beginning is left out,
so the document is what was known at `exported_at`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import asdict

from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import glance
from clm_common.instant import from_datetime, to_datetime, to_rfc3339
from clm_common.store.database import Database
from clm_stage_engine import outbox, reasons
from clm_stage_engine.core.eras import definition_of
from clm_stage_engine.core.snapshot import Snapshot
from clm_stage_engine.core.traits import IDENTIFY, told
from clm_stage_engine.queries import in_order, merging, profiles
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.touchpoints import UNCOUNTED, touchpoint
from clm_stage_engine.store import reading, snapshots

Row = Any  # Any: asyncpg publishes no types; a record

PAGE: Final = 500
"""Rows read at a time."""

_NAME: Final = "(source || '/' || message_id) COLLATE \"C\""
_TOUCHPOINTS: Final = f"""
    SELECT touch.* FROM unnest($1::uuid[]) AS mine (id) CROSS JOIN LATERAL (
        SELECT *, {_NAME} AS name FROM history
        WHERE identity_id = mine.id AND recorded_at <= $2
            AND time >= $3 AND (time, {_NAME}) > ($3, $4::text)
        ORDER BY time FETCH FIRST {PAGE} ROWS WITH TIES
    ) AS touch
    ORDER BY time, name LIMIT {PAGE}
"""  # noqa: S608 - constants
_LATE: Final = f"""
    SELECT *, {_NAME} AS name FROM late_touchpoint AS it
    WHERE identity_id = ANY($1::uuid[]) AND recorded_at <= $2 AND id > $3 AND {UNCOUNTED}
    ORDER BY id LIMIT {PAGE}
"""  # noqa: S608 - constants
_CHANGES: Final = f"""
    SELECT *, CASE WHEN NOT retracted THEN (
        SELECT record FROM explanation AS why
        WHERE why.profile_id = fact.profile_id AND change_id = id AND why.recorded_at <= $2
        ORDER BY why.version DESC LIMIT 1
    ) END AS record
    FROM stage_change AS fact
    WHERE profile_id = ANY($1::uuid[]) AND recorded_at <= $2
        AND (profile_id, version, seq) > ($3::uuid, $4::bigint, $5::bigint)
    ORDER BY profile_id, version, seq LIMIT {PAGE}
"""  # noqa: S608 - constants
_MERGES: Final = """
    SELECT * FROM identity_moved
    WHERE identity_id = ANY($1::uuid[]) AND recorded_at <= $2 AND profile_id = to_profile
    ORDER BY recorded_at, seq
"""
_EARLIEST: Final = to_datetime(-62_135_596_800_000_000)


class _Decision(Struct, frozen=True):
    """A stage change or a retraction, when it was recorded, and why it happened."""

    recorded_at: datetime
    change: StageChange
    why: Raw | None


class _Merge(Struct, frozen=True):
    """An identity that moved, and when that was recorded."""

    recorded_at: datetime
    identity_id: UUID
    from_profile: UUID
    to_profile: UUID
    linked_at: str
    emptied: bool


async def export(
    database: Database, workspace: str, profile: UUID, now: datetime, main: str | None = None
) -> AsyncGenerator[bytes]:
    """Write everything that is kept of a person.

    Args:
        database: stage-engine's schema.
        workspace: whose person.
        profile: the profile.
        now: what is recorded later is left out.
        main: the key of the main lifecycle; None: where they stand in each is left out.
    """
    async with database.connection() as db:
        present = await profiles.get(db, workspace, profile)
        if present is not None and main is not None:
            await profiles.with_lifecycles(db, main, [present])
        mine = await sights.members(db, workspace, profile, now)
        ids = [row["id"] for row in mine]
        merges = await db.fetch(_MERGES, ids, now)
        folded = await snapshots.load(db, ids)
        decided = await merging.all_about(db, workspace, ids, now)
    about = {
        "workspace": workspace,
        "exported_at": to_rfc3339(from_datetime(now)),
        "profile": None if present is None else Raw(present.model_dump_json().encode()),
        "identities": [_identity(row) for row in mine],
        "merges": [_merge(row) for row in merges],
        "decisions": [Raw(it.model_dump_json().encode()) for it in decided],
        "snapshots": [
            _snapshot(each, it) for each, own in folded.items() for it in (own, *own.further)
        ],
    }
    yield msgspec.json.encode(about)[:-1] + b',"stage_changes":['
    comma = b""
    async for rows in _changes(database, [*ids, profile], now):
        yield comma + _listed(map(_decision, rows))
        comma = b","
    yield b'],"touchpoints":['
    comma, traits = b"", dict[str, Raw]()
    async for rows in _touchpoints(database, ids, now):
        seen = [(row, glance(row["body"])) for row in rows]
        for row, one in seen:
            traits = told(traits, row["body"]) if one.type == IDENTIFY else traits
        yield comma + _listed(touchpoint(*it) for it in seen)
        comma = b","
    yield b'],"late_touchpoints":['
    comma = b""
    async for rows in _late(database, ids, now):
        yield comma + _listed(touchpoint(row, glance(row["body"])) for row in rows)
        comma = b","
    yield b'],"traits":' + msgspec.json.encode(traits) + b"}\n"


async def _changes(
    database: Database, ids: Sequence[UUID], now: datetime
) -> AsyncGenerator[Sequence[Row]]:
    """Give every decision ever taken about the person, also while a device stood for itself."""
    place: tuple[UUID, int, int] = (UUID(int=0), 0, 0)
    while True:
        async with database.connection() as db:
            rows: Sequence[Row] = await db.fetch(_CHANGES, ids, now, *place)
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        place = rows[-1]["profile_id"], rows[-1]["version"], rows[-1]["seq"]


async def _touchpoints(
    database: Database, ids: Sequence[UUID], now: datetime
) -> AsyncGenerator[Sequence[Row]]:
    place: tuple[datetime, str] = (_EARLIEST, "")
    while True:
        async with database.connection() as db:
            rows = await in_order.fetch(db, _TOUCHPOINTS, ids, now, *place)
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        place = rows[-1]["time"], rows[-1]["name"]


async def _late(
    database: Database, ids: Sequence[UUID], now: datetime
) -> AsyncGenerator[Sequence[Row]]:
    """Give what came too late to count, in the order in which it came."""
    place = 0
    while True:
        async with database.connection() as db:
            rows: Sequence[Row] = await db.fetch(_LATE, ids, now, place)
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        place = rows[-1]["id"]


def _listed(items: Iterable[object]) -> bytes:
    """Write items as a piece of a JSON array, without its brackets."""
    return msgspec.json.encode(list(items))[1:-1]


def _decision(row: Row) -> _Decision:
    record = row["record"]
    why = None if record is None else Raw(reasons.why(record).model_dump_json().encode())
    return _Decision(row["recorded_at"], reading.change_of(row), why)


def _identity(row: Row) -> dict[str, object]:
    return {
        "id": row["id"],
        "kind": row["kind"],
        "value": row["value"],
        "linked_at": row["link_time"],
    }


def _snapshot(identity: UUID, it: Snapshot) -> dict[str, object]:
    """Write what is remembered of touchpoints that are not kept any more."""
    return {
        "identity_id": identity,
        "until": to_rfc3339(it.cut),
        "lifecycle": it.lifecycle,
        "definition": definition_of(it.definition),
        "stage": it.state.stage,
        "stage_since": to_rfc3339(it.state.stage_since),
        "first_seen": to_rfc3339(it.state.first_seen),
        "touchpoints": it.touchpoints,
        "timeline": [asdict(line) | {"at": to_rfc3339(line.at)} for line in it.lines],
        "facts": it.state.facts,
    }


def _merge(row: Row) -> _Merge:
    fact = outbox.move_of(row)
    return _Merge(
        row["recorded_at"],
        fact.identity_id,
        fact.from_profile,
        fact.to_profile,
        fact.time,
        fact.emptied,
    )
