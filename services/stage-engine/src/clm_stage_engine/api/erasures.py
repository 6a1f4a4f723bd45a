"""The routes by which a person is erased, and by which one sees that it was done."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind, find, unknown
from clm_stage_engine.queries import erasures
from clm_stage_engine.views import Erasure

router: Final = APIRouter(tags=["privacy"])

Eraser = Annotated[Principal, Depends(require("profiles:erase"))]


class NewErasure(BaseModel):
    """An erasure to make."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$"
        ),
    ] = Field(description="Why, for the receipt, which is kept: name nobody in it.")


@router.post(
    "/v1/profiles/{profile_id}/erase", summary="Erase a person, everywhere", status_code=202
)
async def erase_profile(who: Eraser, behind: Behind, profile_id: UUID, body: NewErasure) -> Erasure:
    """Erase everything that is kept of a person, and of the profiles merged into them.

    202 says that it will be done whatever happens: here within a second or two, then in the other
    services, which confirm; ask `GET /v1/erasures/{id}`. It cannot be taken back. Events from
    before it are not taken in any more, whoever sends them again; later ones begin a new profile.
    Asked twice, it is one erasure. Needs the scope `profiles:erase`.
    """
    asked = await find(behind, who, profile_id)
    async with behind.database.connection() as db:
        found = await erasures.ask(
            db,
            name=uuid4(),
            workspace=asked.workspace,
            profile=asked.id,
            reason=body.reason,
            author=who.subject,
            now=to_datetime(behind.clock.now()),
        )
    if found is None:
        raise unknown(profile_id)
    return found


@router.get("/v1/erasures/{erasure_id}", summary="The receipt of an erasure")
async def get_erasure(who: Eraser, behind: Behind, erasure_id: UUID) -> Erasure:
    """Say which store has erased what it kept, and by when each topic is clean."""
    async with behind.database.connection() as db:
        found = await erasures.receipt(db, who.workspace, erasure_id)
    if found is None:
        raise Rejected(
            404, "erasure.unknown", f"there is no erasure {erasure_id} in this workspace"
        )
    return found
