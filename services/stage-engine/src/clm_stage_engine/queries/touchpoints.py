"""A profile's touchpoints as they were sent, newest or oldest first, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Raw, Struct

from clm_common.contracts.touchpoint import Glance, glance
from clm_common.instant import from_datetime, to_datetime, to_rfc3339
from clm_common.runtime.handler import Connection
from clm_stage_engine.cursor import Cursor, Micros, Name, Page
from clm_stage_engine.queries import in_order
from clm_stage_engine.queries.sight import FOREVER, PRESENT, Sight, kept_from

Row = Any  # Any: asyncpg publishes no types; a record

SCANNED: Final = 5_000
"""Touchpoints looked at for one page: filters by type or event read each one's JSON."""

_CHUNK: Final = 1_000
_NAME: Final = "(source || '/' || message_id) COLLATE \"C\""

UNCOUNTED: Final = """NOT EXISTS (
    SELECT FROM history AS counted WHERE counted.identity_id = it.identity_id
    AND counted.time = it.time AND counted.source = it.source
    AND counted.message_id = it.message_id)
"""
"""Of a row `it` of late touchpoints: no copy of it was in time after all."""

_NEWEST_FIRST: Final = f"""
    SELECT touch.* FROM unnest($1::uuid[]) AS mine (id) CROSS JOIN LATERAL (
        SELECT *, {_NAME} AS name FROM history
        WHERE identity_id = mine.id AND time <= $2 AND time >= $4 AND time < $5
            AND (time, {_NAME}) < ($2, $3::text) AND ($6::text IS NULL OR source = $6)
            AND ($10::text IS NULL OR channel = $10)
            AND time <= $7 AND recorded_at <= $8
        ORDER BY time DESC FETCH FIRST $9 ROWS WITH TIES
    ) AS touch
    ORDER BY time DESC, name DESC LIMIT $9
"""  # noqa: S608 - constants


_LATE_NEWEST_FIRST: Final = f"""
    SELECT *, {_NAME} AS name FROM late_touchpoint AS it
    WHERE identity_id = ANY($1::uuid[]) AND time <= $2 AND time >= $4 AND time < $5
        AND (time, {_NAME}) < ($2, $3::text) AND ($6::text IS NULL OR source = $6)
        AND time <= $7 AND recorded_at <= $8 AND {UNCOUNTED}
    ORDER BY time DESC, name DESC LIMIT $9
"""  # noqa: S608 - constants


class Touchpoint(Struct, frozen=True):
    """A touchpoint as the API gives it: the views' `Touchpoint`, its JSON unparsed."""

    id: str
    at: str
    received_at: str
    recorded_at: str
    source: str
    message_id: str
    type: str
    event: str | None
    channel: str | None
    campaign: str | None
    content: str | None
    touchpoint: Raw
    late: bool


class TouchpointPage(Struct, frozen=True):
    """Some touchpoints, newest first."""

    profile_id: UUID
    touchpoints: list[Touchpoint]
    next: str | None
    kept_from: str | None = None


class Wanted(Struct, frozen=True):
    """Which touchpoints are asked for; None leaves a thing open.

    Attributes:
        since: the earliest event time.
        until: event times before it.
        source: the source's id.
        type: `track`, `identify` …
        event: the tracked event's name.
        channel: how the customer came to it.
        sight: from where one looks back.
    """

    since: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    type: str | None = None
    event: str | None = None
    channel: str | None = None
    sight: Sight = PRESENT

    @property
    def filters(self) -> bool:
        """Whether each touchpoint's JSON must be looked at."""
        return self.type is not None or self.event is not None

    def takes(self, seen: Glance) -> bool:
        """Tell whether a touchpoint's JSON is as wanted."""
        return self.type in {None, seen.type} and self.event in {None, seen.event}


class _Place(Struct, array_like=True, frozen=True):
    """Where a page ended."""

    at: Micros
    name: Name


_EARLIEST: Final = to_datetime(-62_135_596_800_000_000)
_START: Final = _Place(from_datetime(FOREVER), "")
_cursor: Final = Cursor(_Place)


async def newest(
    db: Connection, profile: UUID, identities: Sequence[UUID], wanted: Wanted, page: Page
) -> TouchpointPage:
    """Give a page of touchpoints, newest first.

    It may hold fewer than `limit` although more follow, where few of many are as wanted: `next`
    tells whether there are more.

    Raises:
        Rejected: the cursor is none of ours.
    """
    place, limit = _cursor.read(page.cursor) or _START, page.limit
    since = await kept_from(db, identities)
    kept = None if since is None else _text(since)
    found, looked_at = list[Touchpoint](), 0
    while looked_at < SCANNED:
        size = _CHUNK if wanted.filters else min(_CHUNK, limit + 1)
        rows = await _newest_first(db, identities, wanted, place, size)
        for row in rows:
            if len(found) == limit:
                return TouchpointPage(profile, found, _cursor.write(place), kept)
            place, seen = _Place(from_datetime(row["time"]), row["name"]), glance(row["body"])
            if wanted.takes(seen):
                found.append(touchpoint(row, seen))
        if len(rows) < size:
            return TouchpointPage(profile, found, None, kept)
        looked_at += len(rows)
    return TouchpointPage(profile, found, _cursor.write(place), kept)


async def _newest_first(
    db: Connection, identities: Sequence[UUID], wanted: Wanted, place: _Place, size: int
) -> Sequence[Row]:
    values = (
        identities,
        to_datetime(place.at),
        place.name,
        wanted.since or _EARLIEST,
        wanted.until or FOREVER,
        wanted.source,
        wanted.sight.as_of,
        wanted.sight.recorded,
        size,
    )
    counted = await in_order.fetch(db, _NEWEST_FIRST, *values, wanted.channel)
    late = [] if wanted.channel else await db.fetch(_LATE_NEWEST_FIRST, *values)
    both = [*counted, *late]
    return sorted(both, key=_by_place, reverse=True)[:size] if late else counted


def _by_place(row: Row) -> tuple[datetime, str]:
    return row["time"], row["name"]


def touchpoint(row: Row, seen: Glance) -> Touchpoint:
    """Write a touchpoint for people, counted or late; its JSON stays as it was sent."""
    return Touchpoint(
        id=row["name"],
        at=_text(row["time"]),
        received_at=_text(row["received_at"]),
        recorded_at=_text(row["recorded_at"]),
        source=row["source"],
        message_id=row["message_id"],
        type=seen.type,
        event=seen.event,
        channel=row.get("channel") or None,
        campaign=row.get("campaign"),
        content=row.get("content"),
        touchpoint=Raw(row["body"]),
        late="seq" not in row,
    )


def _text(moment: datetime) -> str:
    return to_rfc3339(from_datetime(moment))
