"""Routes by which a version is compared with what decides, over everybody's stored history.

That takes as long as the history is; so it is a job, with a row that says how far it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from clm_common.errors import DefinitionError, Rejected
from clm_common.instant import to_datetime
from clm_common.runtime.models import Answer
from clm_stage_engine.api.parts import Behind, Reader
from clm_stage_engine.api.versions import Editor, Key, Number, Stage
from clm_stage_engine.changing.sides import held_against, tried
from clm_stage_engine.core.eras import Policy
from clm_stage_engine.store import diffs as store
from clm_stage_engine.store import versions
from clm_stage_engine.store.diffs import Asked, Diff, Status

router: Final = APIRouter(tags=["lifecycles"])


class NewDiff(BaseModel):
    """How a version is compared."""

    model_config = ConfigDict(extra="forbid")

    against: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="The version that it is held against; left out: what decides now."
    )
    sample: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Only this share of the people, always the same ones; figures are not scaled "
        "up.",
    )
    examples: int = Field(3, ge=0, le=100, description="How many people of each kind are shown.")
    policy: Policy = Field("re-derive", description="As it would be published; see `publish`.")
    mapping: Annotated[dict[Stage, Stage], Field(max_length=200)] = Field(
        {}, description="For `map` and `drain`: the new stage for old ones."
    )


class DiffView(Answer):
    """A diff that was asked for."""

    id: UUID
    key: str
    number: int = Field(description="The version that is tried.")
    author: str
    asked_at: datetime = Field(description="Deadlines fire up to then.")
    state: Status = Field(
        description="`waiting` for a process that takes it up, `running`, `done`, `failed` (see "
        "`reason`) or `cancelled`."
    )
    people_done: int = Field(description="How many people were looked at.")
    people: int | None = Field(description="Of how many; null until it is begun.")
    reason: str | None = Field(description="Why it failed.")
    ended_at: datetime | None = Field(
        description="When it was done, failed or was cancelled; 30 days later it is forgotten."
    )
    answer: dict[str, Any] | None = Field(  # Any: JSON
        description="What `clm lifecycle diff --json` prints, once it is done."
    )


@router.post(
    "/v1/lifecycles/{key}/versions/{number}/diffs",
    summary="Compare a version over everybody's history",
    status_code=202,
)
async def post_diff(
    who: Editor, behind: Behind, key: Key, number: Number, body: NewDiff, response: Response
) -> DiffView:
    """Have both definitions fold the whole stored history; nothing is changed.

    202 says that it will be done whatever happens; `Location` says where its progress and its
    answer are. Processes may end and begin meanwhile.
    """
    now = behind.clock.now()
    asked = Asked(body.against, body.sample, body.examples, body.policy, body.mapping)
    async with behind.database.connection() as db:
        version = await versions.get(db, who.workspace, key, number)
        against = await held_against(db, behind.board, who.workspace, key, body.against)
        try:
            lifecycle = behind.board.compile(version.yaml)
            tried(lifecycle, against, body.policy, body.mapping, now)
        except DefinitionError as error:
            raise Rejected(422, error.slug, error.message) from error
        name = uuid4()
        made = await store.add(
            db,
            Diff(
                id=name,
                workspace=who.workspace,
                key=key,
                number=number,
                asked=asked,
                author=who.subject,
                asked_at=to_datetime(now),
            ),
        )
    response.headers["location"] = f"/v1/diffs/{name}"
    return _view(made)


@router.get("/v1/diffs/{diff_id}", summary="How far a diff is, and its answer")
async def get_diff(who: Reader, behind: Behind, diff_id: UUID) -> DiffView:
    """Tell how many people were looked at and, once it is done, what would change."""
    async with behind.database.connection() as db:
        return _view(await store.get(db, who.workspace, diff_id))


@router.post("/v1/diffs/{diff_id}/cancel", summary="Cancel a diff")
async def post_cancel(who: Editor, behind: Behind, diff_id: UUID) -> DiffView:
    """Give a diff up; whoever works on it stops within a second or two."""
    async with behind.database.connection() as db:
        return _view(await store.cancel(db, who.workspace, diff_id))


def _view(it: Diff) -> DiffView:
    return DiffView(
        id=it.id,
        key=it.key,
        number=it.number,
        author=it.author,
        asked_at=it.asked_at,
        state=it.state,
        people_done=it.done,
        people=it.total,
        reason=it.reason,
        ended_at=it.ended_at,
        answer=None if it.answer is None else msgspec.json.decode(it.answer),
    )
