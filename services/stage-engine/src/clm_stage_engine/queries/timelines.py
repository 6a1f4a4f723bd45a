"""Timelines: a profile's touchpoints and the stage changes that stand, oldest first."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.touchpoint import glance
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.cursor import Cursor, Micros, Name, Page, Rank, cut
from clm_stage_engine.queries import in_order
from clm_stage_engine.queries.explaining import reasons_of
from clm_stage_engine.queries.sight import STANDING, Sight, kept_from, members
from clm_stage_engine.reasons import Entry, TimelinePage, Why

Row = Any  # Any: asyncpg publishes no types; a record

_TOUCH: Final = "1, (source || '/' || message_id) COLLATE \"C\", '0' COLLATE \"C\""
_PLACE: Final = "$6, $7::int, $8::text, $9::text"

_TIMELINE: Final = f"""
    SELECT * FROM (
        (
            SELECT touch.* FROM unnest($5::uuid[]) AS mine (id) CROSS JOIN LATERAL (
                SELECT time AS at, 1 AS rank, (source || '/' || message_id) COLLATE "C" AS name,
                    '0' COLLATE "C" AS sub, recorded_at, body, channel, NULL::uuid AS id,
                    NULL::text AS source, NULL::text AS target, NULL::text AS move,
                    NULL::text AS cause, NULL::int AS lifecycle_version,
                    NULL::text AS lifecycle
                FROM history
                WHERE identity_id = mine.id AND time >= $6 AND time <= $3 AND recorded_at <= $4
                    AND (time, {_TOUCH}) > ({_PLACE})
                ORDER BY time FETCH FIRST $10 ROWS WITH TIES
            ) AS touch
        )
        UNION ALL
        SELECT at, rank, name, sub, recorded_at, NULL, NULL, id, source, target, move, cause,
            lifecycle_version, lifecycle
        FROM ({STANDING}) AS change
        WHERE ($11::text IS NULL OR lifecycle = $11) AND (at, rank, name, sub) > ({_PLACE})
    ) AS entry
    ORDER BY at, rank, name, sub LIMIT $10
"""  # noqa: S608 - constants


class _Place(Struct, array_like=True, frozen=True):
    """Where a page ended: see `sight.STANDING` for the order."""

    at: Micros
    rank: Rank
    name: Name
    sub: Name


_START: Final = _Place(-62_135_596_800_000_000, -1, "", "")
_cursor: Final = Cursor(_Place)


async def timeline(  # noqa: PLR0913 - what a page is of
    db: Connection,
    workspace: str,
    profile: UUID,
    sight: Sight,
    page: Page,
    *,
    explain: bool = False,
    lifecycle: str | None = None,
) -> TimelinePage:
    """Give a page of a profile's timeline, as it stood; stage changes with their reasons, if asked.

    By default the stage changes of every lifecycle, else of the one named.

    Raises:
        Rejected: the cursor is none of ours.
    """
    start = _cursor.read(page.cursor) or _START
    mine = [row["id"] for row in await members(db, workspace, profile, sight.recorded)]
    place = to_datetime(start.at), start.rank, start.name, start.sub
    seen = workspace, profile, sight.as_of, sight.recorded
    end = page.limit + 1, lifecycle
    rows = await in_order.fetch(db, _TIMELINE, *seen, mine, *place, *end)
    shown, last = cut(rows, page.limit)
    changes = [row["id"] for row in shown if row["id"] is not None] if explain else []
    whys = await reasons_of(db, profile, changes, sight) if changes else {}
    return TimelinePage(
        profile_id=profile,
        entries=[_entry(row, whys.get(row["id"])) for row in shown],
        next=None if last is None else _cursor.write(_place(last)),
        kept_from=await kept_from(db, mine),
    )


def _place(row: Row) -> _Place:
    return _Place(from_datetime(row["at"]), row["rank"], row["name"], row["sub"])


def _entry(row: Row, why: Why | None) -> Entry:
    if row["body"] is None:
        return Entry(
            at=row["at"],
            recorded_at=row["recorded_at"],
            kind="stage_changed",
            id=str(row["id"]),
            source=row["source"],
            target=row["target"],
            lifecycle=row["lifecycle"],
            lifecycle_version=row["lifecycle_version"] or None,
            move=row["move"],
            cause=row["cause"],
            why=why,
        )
    seen = glance(row["body"])
    return Entry(
        at=row["at"],
        recorded_at=row["recorded_at"],
        kind="touchpoint",
        id=row["name"],
        type=seen.type,
        event=seen.event,
        channel=row["channel"] or None,
    )
