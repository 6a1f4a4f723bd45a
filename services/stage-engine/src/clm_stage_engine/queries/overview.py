"""Overviews of a workspace: people per stage, deadlines to come, the engine's progress."""

from __future__ import annotations

import math
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.fold import State, lapse
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.cursor import Cursor, Micros, Page, cut
from clm_stage_engine.profiles import Entry
from clm_stage_engine.rules import Rules
from clm_stage_engine.store import reading, standings
from clm_stage_engine.views import Deadline, DeadlinePage, Outlook, Progress, StageCount

Row = Any  # Any: asyncpg publishes no types; a record

_STAGES: Final = """
    SELECT stage, count(*) AS people FROM profile
    WHERE workspace = $1 AND stage IS NOT NULL GROUP BY stage ORDER BY stage
"""
_STAGES_BESIDE: Final = """
    SELECT stage, count(*) AS people FROM profile_standing
    WHERE workspace = $1 AND lifecycle = $2 GROUP BY stage ORDER BY stage
"""
_DEADLINES: Final = """
    SELECT due.* FROM unnest($1::int[]) AS own (partition) CROSS JOIN LATERAL (
        SELECT * FROM profile
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


async def stages(
    db: Connection, workspace: str, lifecycle: Lifecycle, beside: str | None = None
) -> list[StageCount]:
    """Count who is in each stage, in the lifecycle's order; other stages that have people last."""
    people = await people_in(db, workspace, beside)
    titles = {stage.key: stage.title for stage in lifecycle.stages}
    order = [*titles, *(stage for stage in people if stage not in titles)]
    return [StageCount(stage=it, title=titles.get(it), people=people.get(it, 0)) for it in order]


async def people_in(db: Connection, workspace: str, beside: str | None = None) -> dict[str, int]:
    """Count who is in each stage that has people: of the main lifecycle, or of one beside it."""
    if beside is None:
        rows = await db.fetch(_STAGES, workspace)
    else:
        rows = await db.fetch(_STAGES_BESIDE, workspace, beside)
    return {row["stage"]: row["people"] for row in rows}


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
    entries = [reading.entry_of(row) for row in shown]
    if rules.several:
        entries = await standings.load(db, entries)
    place = None if last is None else _Due(from_datetime(last["wake_at"]), last["id"])
    return DeadlinePage(
        deadlines=[_deadline(row, it, rules) for row, it in zip(shown, entries, strict=True)],
        next=None if place is None else _cursor.write(place),
    )


def _deadline(row: Row, entry: Entry, rules: Rules) -> Deadline:
    """Write the deadline of the lifecycle whose own is next."""
    due, then = row["wake_at"], None
    course = rules.course(entry.workspace, entry.id)
    beside = rules.others(entry.workspace, entry.id) or ()
    ways = [(course, entry), *((it.course, entry.beside(it.key)) for it in beside)]
    decides, stands = min(ways, key=lambda way: _when(way[1].state))
    state = stands.state
    if state is not None:
        place = decides.place(stands.definition, state)
        if place is not None and state.due is not None:
            changes = lapse(place.lifecycle, state, state.due).changes
            due = to_datetime(state.due)
            then = Outlook(target=changes[0].target, move=changes[0].move) if changes else None
    return Deadline(
        profile_id=row["id"],
        user_id=row["user_id"],
        lifecycle=decides.lifecycle.key,
        stage=row["stage"] if state is None else state.stage,
        due=due,
        then=then,
    )


def _when(state: State | None) -> float:
    return math.inf if state is None or state.due is None else state.due


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
