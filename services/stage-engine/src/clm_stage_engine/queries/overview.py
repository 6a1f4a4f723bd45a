"""Overviews of a workspace: people per stage, deadlines to come, the engine's progress."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.fold import lapse, unpack
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.cursor import Cursor, Micros, Page, cut
from clm_stage_engine.rules import Rules
from clm_stage_engine.views import Deadline, DeadlinePage, Outlook, Progress, StageCount

Row = Any  # Any: asyncpg publishes no types; a record

_STAGES: Final = """
    SELECT stage, count(*) AS people FROM profile
    WHERE workspace = $1 AND stage IS NOT NULL GROUP BY stage ORDER BY stage
"""
_DEADLINES: Final = """
    SELECT due.* FROM unnest($1::int[]) AS own (partition) CROSS JOIN LATERAL (
        SELECT id, user_id, stage, wake_at, state, definition FROM profile
        WHERE home = own.partition AND workspace = $2 AND wake_at >= $3 AND wake_at <= $4
            AND (wake_at, id) > ($3, $5)
        ORDER BY wake_at, id LIMIT $6
    ) AS due
    ORDER BY wake_at, id LIMIT $6
"""
_TOTALS: Final = """
    SELECT count(*) AS profiles, coalesce(sum(touchpoints), 0)::bigint AS touchpoints
    FROM profile WHERE workspace = $1 AND stage IS NOT NULL
"""
_POSITIONS: Final = """
    SELECT partition, next_offset, next_seq FROM consumer_partition WHERE topic = $1
    ORDER BY partition
"""


class _Due(Struct, array_like=True, frozen=True):
    """Where a page of deadlines ended."""

    at: Micros
    id: UUID


_START: Final = _Due(-62_135_596_800_000_000, UUID(int=0))
_cursor: Final = Cursor(_Due)


async def stages(db: Connection, workspace: str, lifecycle: Lifecycle) -> list[StageCount]:
    """Count who is in each stage, in the lifecycle's order; other stages that have people last."""
    people = await people_in(db, workspace)
    titles = {stage.key: stage.title for stage in lifecycle.stages}
    order = [*titles, *(stage for stage in people if stage not in titles)]
    return [StageCount(stage=it, title=titles.get(it), people=people.get(it, 0)) for it in order]


async def people_in(db: Connection, workspace: str) -> dict[str, int]:
    """Count who is in each stage that has people."""
    return {row["stage"]: row["people"] for row in await db.fetch(_STAGES, workspace)}


async def deadlines(
    db: Connection, workspace: str, rules: Rules, before: int, page: Page
) -> DeadlinePage:
    """Give the deadlines up to an instant (µs), the earliest first.

    Raises:
        Rejected: the cursor is none of ours.
    """
    start = _cursor.read(page.cursor) or _START
    rows = await db.fetch(
        _DEADLINES,
        list(range(TOUCHPOINTS.partitions)),
        workspace,
        to_datetime(start.at),
        to_datetime(before),
        start.id,
        page.limit + 1,
    )
    shown, last = cut(rows, page.limit)
    place = None if last is None else _Due(from_datetime(last["wake_at"]), last["id"])
    return DeadlinePage(
        deadlines=[_deadline(row, rules.course(workspace, row["id"])) for row in shown],
        next=None if place is None else _cursor.write(place),
    )


def _deadline(row: Row, course: Course) -> Deadline:
    due, then = row["wake_at"], None
    if row["state"] is not None:
        state = unpack(row["state"])
        place = course.place(row["definition"], state)
        if place is not None and state.due is not None:
            changes = lapse(place.lifecycle, state, state.due).changes
            due = to_datetime(state.due)
            then = Outlook(target=changes[0].target, move=changes[0].move) if changes else None
    return Deadline(
        profile_id=row["id"], user_id=row["user_id"], stage=row["stage"], due=due, then=then
    )


async def progress(db: Connection, workspace: str) -> Progress:
    """Tell how much of a workspace has been folded and where the partitions stand."""
    totals = await db.fetchrow(_TOTALS, workspace)
    positions = await db.fetch(_POSITIONS, TOUCHPOINTS.name)
    return Progress(
        profiles=totals["profiles"],
        touchpoints=totals["touchpoints"],
        next_offsets={row["partition"]: row["next_offset"] for row in positions},
        facts={row["partition"]: row["next_seq"] - 1 for row in positions},
    )
