"""A workspace's touchpoints that came too late to count, the newest arrival first."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import asdict

from clm_common.contracts.touchpoint import glance
from clm_common.runtime.handler import Connection
from clm_stage_engine.cursor import Cursor, Page, cut
from clm_stage_engine.queries.touchpoints import UNCOUNTED, Touchpoint, touchpoint

_LATE: Final = f"""
    SELECT it.*, source || '/' || message_id AS name, whose.profile_id
    FROM late_touchpoint AS it LEFT JOIN identity AS whose ON whose.id = it.identity_id
    WHERE it.workspace = $1 AND it.id < $2 AND ($3::text IS NULL OR it.source = $3)
        AND {UNCOUNTED}
    ORDER BY it.id DESC LIMIT $4
"""  # noqa: S608 - constants

_NEWEST: Final = 2**63 - 1


class LateTouchpoint(Touchpoint, frozen=True):
    """A late touchpoint as the API gives it: the views' `LateTouchpoint`, its JSON unparsed."""

    profile_id: UUID | None


class LatePage(Struct, frozen=True):
    """Some late touchpoints."""

    touchpoints: list[LateTouchpoint]
    next: str | None


class _Place(Struct, array_like=True, frozen=True):
    """Where a page ended."""

    id: Annotated[int, Meta(ge=0, le=_NEWEST)]


_cursor: Final = Cursor(_Place)


async def late(db: Connection, workspace: str, source: str | None, page: Page) -> LatePage:
    """Give a page of late touchpoints.

    Args:
        db: an open connection.
        workspace: whose.
        source: only this one's; None for all.
        page: which page.

    Raises:
        Rejected: the cursor is none of ours.
    """
    start = _cursor.read(page.cursor) or _Place(_NEWEST)
    rows = await db.fetch(_LATE, workspace, start.id, source, page.limit + 1)
    shown, last = cut(rows, page.limit)
    found = [
        LateTouchpoint(**asdict(touchpoint(row, glance(row["body"]))), profile_id=row["profile_id"])
        for row in shown
    ]
    return LatePage(found, None if last is None else _cursor.write(_Place(last["id"])))
