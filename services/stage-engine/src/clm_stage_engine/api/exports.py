"""The route that gives one person everything that is kept of them."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from clm_common.instant import to_datetime
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind, find
from clm_stage_engine.queries.exporting import export

router: Final = APIRouter(tags=["privacy"])

Exporter = Annotated[Principal, Depends(require("profiles:export"))]


@router.get(
    "/v1/profiles/{profile_id}/export",
    summary="Everything that is kept of a person",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/json": {"schema": {"type": "object"}}}},
    },
)
async def export_profile(who: Exporter, behind: Behind, profile_id: UUID) -> StreamingResponse:
    """Give one JSON document: profile, identities, merges, stage changes, touchpoints, traits.

    Touchpoints are as they were sent, oldest first, those that came too late to count apart from
    them (`late_touchpoints`). What is remembered of older ones, which are not kept any more, stands
    in `snapshots`. Stage changes include what was taken back; traits are what identify
    calls said last. It is written as it is read: however long, it needs little memory. Needs the
    scope `profiles:export`.
    """
    asked = await find(behind, who, profile_id)
    now, main = to_datetime(behind.clock.now()), behind.main(asked.workspace).key
    pieces = export(behind.database, asked.workspace, asked.id, now, main)
    name = f'attachment; filename="profile-{asked.id}.json"'
    return StreamingResponse(
        pieces, media_type="application/json", headers={"content-disposition": name}
    )
