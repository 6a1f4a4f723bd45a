"""Why somebody is where they are: the transitions that stand, explained, and what lies ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine import reasons
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.explain import outlook
from clm_stage_engine.core.fold import State, lapse, unpack
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.cursor import Cursor, Micros, Name, Page, Rank, cut
from clm_stage_engine.queries.sight import FOREVER, STANDING, Sight
from clm_stage_engine.reasons import Ahead, Due, Explained, Transition, Why

Row = Any  # Any: asyncpg publishes no types; a record

_TRANSITIONS: Final = f"""
    SELECT * FROM ({STANDING}) AS change
    WHERE ($10::text IS NULL OR lifecycle = $10)
        AND (at, rank, name, sub) < ($5, $6::int, $7::text, $8::text)
    ORDER BY at DESC, rank DESC, name DESC, sub DESC LIMIT $9
"""  # noqa: S608 - constants

_RECORDS: Final = """
    SELECT DISTINCT ON (change_id) change_id, record FROM explanation
    WHERE profile_id = $1 AND change_id = ANY($2::uuid[]) AND recorded_at <= $3
    ORDER BY change_id, version DESC
"""

_STATE: Final = "SELECT state, definition FROM profile WHERE workspace = $1 AND id = $2"
_BESIDE: Final = """
    SELECT state, definition FROM profile_standing
    WHERE workspace = $1 AND profile_id = $2 AND lifecycle = $3
"""


class _Place(Struct, array_like=True, frozen=True):
    """Where a page ended: see `sight.STANDING` for the order."""

    at: Micros
    rank: Rank
    name: Name
    sub: Name


_START: Final = _Place(from_datetime(FOREVER), 9, "", "")
_cursor: Final = Cursor(_Place)


async def explained(
    db: Connection,
    workspace: str,
    profile: UUID,
    sight: Sight,
    page: Page,
    lifecycle: str | None = None,
) -> Explained:
    """Give a page of transitions, newest first; none where somebody was in no stage.

    By default those of every lifecycle, else of the one named.

    Raises:
        Rejected: the cursor is none of ours.
    """
    start = _cursor.read(page.cursor) or _START
    place = to_datetime(start.at), start.rank, start.name, start.sub
    rows = await db.fetch(
        _TRANSITIONS,
        workspace,
        profile,
        sight.as_of,
        sight.recorded,
        *place,
        page.limit + 1,
        lifecycle,
    )
    shown, last = cut(rows, page.limit)
    whys = await reasons_of(db, profile, [row["id"] for row in shown], sight)
    return Explained(
        profile_id=profile,
        transitions=[_transition(row, whys.get(row["id"])) for row in shown],
        outlook=None,
        next=None if last is None else _cursor.write(_place(last)),
    )


def _place(row: Row) -> _Place:
    return _Place(from_datetime(row["at"]), row["rank"], row["name"], row["sub"])


async def reasons_of(
    db: Connection, profile: UUID, changes: Sequence[UUID], sight: Sight
) -> dict[UUID, Why]:
    """Give, by stage change, why it happened, as far as was recorded."""
    rows = await db.fetch(_RECORDS, profile, changes, sight.recorded)
    return {row["change_id"]: reasons.why(row["record"]) for row in rows}


def _transition(row: Row, why: Why | None) -> Transition:
    return Transition(
        id=row["id"],
        at=row["at"],
        recorded_at=row["recorded_at"],
        source=row["source"],
        target=row["target"],
        move=row["move"],
        cause=row["cause"],
        lifecycle=row["lifecycle"],
        lifecycle_version=row["lifecycle_version"] or None,
        why=why,
    )


async def standing(
    db: Connection, workspace: str, profile: UUID, course: Course, beside: str | None = None
) -> tuple[State, Lifecycle] | None:
    """Give where somebody stands, and the definition that decides what comes next.

    None where they are in no stage, or were folded by something else than what decides now.
    `beside` is the key of a lifecycle beside the main one; None for the main one.
    """
    if beside is None:
        row = await db.fetchrow(_STATE, workspace, profile)
    else:
        row = await db.fetchrow(_BESIDE, workspace, profile, beside)
    if row is None or row["state"] is None:
        return None
    state = unpack(row["state"])
    place = course.place(row["definition"], state)
    return None if place is None else (state, place.lifecycle)


async def ahead(
    db: Connection,
    workspace: str,
    profile: UUID,
    course: Course,
    now: int,
    beside: str | None = None,
) -> Ahead | None:
    """Tell what could move somebody next, at an instant (µs); see `standing`."""
    found = await standing(db, workspace, profile, course, beside)
    if found is None:
        return None
    state, lifecycle = found
    return Ahead(
        at=to_datetime(now),
        stage=state.stage,
        next=_due(lifecycle, state),
        moves=reasons.prospects(outlook(lifecycle, state, max(now, state.frontier[0]))),
    )


def _due(lifecycle: Lifecycle, state: State) -> Due | None:
    """Give the first deadline that moves somebody; one at which nothing holds is passed over."""
    if state.due is None:
        return None
    changes = lapse(lifecycle, state, state.due).changes
    if not changes:
        return None
    first = changes[0]
    return Due(due=to_datetime(first.at), target=first.target, move=first.move)
