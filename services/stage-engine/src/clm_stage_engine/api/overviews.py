"""Routes about a workspace as a whole: stages, deadlines, definitions, progress."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response

from clm_common.instant import DAY, from_datetime
from clm_stage_engine.api.parts import Behind, Instant, Limit, Of, Place, Reader, Word
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import lateness, overview
from clm_stage_engine.views import DeadlinePage, LatePage, Lifecycles, Progress, StageCounts

router: Final = APIRouter(tags=["workspace"])


@router.get("/v1/stages", summary="People per stage")
async def get_stages(who: Reader, behind: Behind, lifecycle: Of = None) -> StageCounts:
    """Count who is in each stage now."""
    of = await behind.lifecycle(who.workspace, lifecycle)
    async with behind.database.connection() as db:
        counts = await overview.stages(db, who.workspace, of, behind.beside(of.key))
    return StageCounts(lifecycle=of.key, definition=of.digest, stages=counts)


@router.get("/v1/deadlines", summary="Deadlines to come")
async def get_deadlines(
    who: Reader,
    behind: Behind,
    before: Annotated[
        Instant | None, Query(description="Up to this instant; a day from now if left out.")
    ] = None,
    cursor: Place = None,
    limit: Limit = 100,
) -> DeadlinePage:
    """List whom time alone will move (or make the engine look at) next, the earliest first."""
    end = behind.clock.now() + DAY if before is None else from_datetime(before)
    async with behind.database.connection() as db:
        return await overview.deadlines(
            db, who.workspace, behind.board.rules, end, Page(cursor, limit)
        )


@router.get(
    "/v1/touchpoints/late",
    summary="Touchpoints that came too late to count",
    response_model=LatePage,
)
async def get_late(
    who: Reader,
    behind: Behind,
    source: Annotated[Word | None, Query(description="Only from this source, by its id.")] = None,
    cursor: Place = None,
    limit: Limit = 100,
) -> Response:
    """List what is kept and not applied, because it came later than its source may be."""
    async with behind.database.connection() as db:
        page = await lateness.late(db, who.workspace, source, Page(cursor, limit))
    return Response(msgspec.json.encode(page), media_type="application/json")


@router.get("/v1/lifecycles", summary="The lifecycles that run")
async def get_lifecycles(who: Reader, behind: Behind) -> Lifecycles:
    """Give the definitions that decide, as data and as they were written, the main one first."""
    rules = behind.board.rules
    beside = [it.rule.whole.view for it in rules.beside(who.workspace)]
    return Lifecycles(lifecycles=[rules.main(who.workspace).view, *beside])


@router.get("/v1/progress", summary="How much has been folded")
async def get_progress(who: Reader, behind: Behind) -> Progress:
    """Count the workspace's profiles and touchpoints, and give the partitions' positions."""
    async with behind.database.connection() as db:
        return await overview.progress(db, who.workspace)
