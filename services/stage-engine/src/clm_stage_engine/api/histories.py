"""Routes about what happened to somebody, and why: timeline, reasons, touchpoints."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from clm_common.contracts.touchpoint import TouchpointType
from clm_stage_engine import views
from clm_stage_engine.api.parts import Asked, Behind, Instant, Limit, Of, Place, Word
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import explaining, timelines, touchpoints
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.sight import Sight
from clm_stage_engine.queries.touchpoints import Wanted
from clm_stage_engine.reasons import Explained, TimelinePage

router: Final = APIRouter(tags=["profiles"])


@router.get("/v1/profiles/{profile_id}/timeline", summary="A profile's timeline")
async def get_timeline(
    asked: Asked,
    *,
    explain: Annotated[bool, Query(description="With each stage change, why.")] = False,
    lifecycle: Annotated[
        Word | None, Query(description="Only this lifecycle's stage changes; by default all.")
    ] = None,
    cursor: Place = None,
    limit: Limit = 200,
) -> TimelinePage:
    """Give its touchpoints and the stage changes that stand (or stood), oldest first."""
    async with asked.look() as (db, mine):
        return await timelines.timeline(
            db,
            mine.workspace,
            mine.id,
            mine.sight,
            Page(cursor, limit),
            explain=explain,
            lifecycle=lifecycle,
        )


@router.get("/v1/profiles/{profile_id}/explain", summary="Why somebody is in their stage")
async def get_explained(
    asked: Asked,
    behind: Behind,
    cursor: Place = None,
    limit: Limit = 20,
    lifecycle: Of = None,
) -> Explained:
    """Explain the transitions that stand (or stood), newest first, and what could come next."""
    page = Page(cursor, limit)
    key = (await behind.lifecycle(asked.workspace, lifecycle)).key
    beside = behind.beside(key)
    rules, workspace = behind.board.rules, asked.workspace
    async with asked.look() as (db, mine):
        others = rules.others(workspace, mine.id)
        only = None if others is None and lifecycle is None else key
        found = await explaining.explained(db, workspace, mine.id, mine.sight, page, only)
        if mine.sight.is_present and cursor is None:
            now = behind.clock.now()
            course = next(
                (it.course for it in others or () if it.key == beside),
                rules.course(workspace, mine.id),
            )
            found.outlook = await explaining.ahead(db, workspace, mine.id, course, now, beside)
    return found


class Filters(BaseModel):
    """Which touchpoints somebody wants."""

    event: Word | None = Field(None, description="Only this tracked event.")
    type: TouchpointType | None = Field(None, description="Only this type.")
    source: Word | None = Field(None, description="Only from this source, by its id.")
    channel: Word | None = Field(None, description="Only of this channel: `paid-search`.")
    since: Instant | None = Field(None, description="Only then or later.")
    until: Instant | None = Field(None, description="Only before then.")
    cursor: Place = None
    limit: Limit = 100

    def wanted(self, sight: Sight) -> Wanted:
        """Give the same for the query."""
        return Wanted(
            self.since, self.until, self.source, self.type, self.event, self.channel, sight
        )


@router.get(
    "/v1/profiles/{profile_id}/touchpoints",
    summary="A profile's touchpoints",
    response_model=views.TouchpointPage,
)
async def get_touchpoints(asked: Asked, filters: Annotated[Filters, Query()]) -> Response:
    """Give its touchpoints as they were sent, newest first."""
    async with asked.look() as (db, person):
        mine = await sights.members(db, person.workspace, person.id, person.sight.recorded)
        page = await touchpoints.newest(
            db,
            person.id,
            [row["id"] for row in mine],
            filters.wanted(person.sight),
            Page(filters.cursor, filters.limit),
        )
    return Response(msgspec.json.encode(page), media_type="application/json")
