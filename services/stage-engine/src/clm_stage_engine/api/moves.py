"""The route by which somebody moves a profile by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Header, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID, move_id
from clm_common.errors import Rejected
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.models import Answer
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind, Instant, Parts, Subject, find, unknown
from clm_stage_engine.core.manual import ByHand, message
from clm_stage_engine.core.ours import SOURCE, Occasion
from clm_stage_engine.queries import explaining, moving, profiles
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.sight import FOREVER

router: Final = APIRouter(tags=["profiles"])

Mover = Annotated[Principal, Depends(require("profiles:write"))]
Stage = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00]*$"),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key means the same decision: repeated, it counts once.",
    ),
]


class NewMove(BaseModel):
    """A move to make."""

    model_config = ConfigDict(extra="forbid")

    to: Stage = Field(description="The stage, by key or alias.")
    reason: Reason = Field(description="Why; it stands in the person's history.")
    lifecycle: Stage | None = Field(None, description="In which lifecycle; by default the first.")
    at: Instant | None = Field(
        None, description="From when on it holds, in event time; now if left out."
    )


class Move(Answer):
    """A move by hand, as it stands in the history or will in a moment."""

    id: str = Field(description="source/message id: the `cause` of the stage change.")
    profile_id: UUID
    lifecycle: str
    to: str = Field(description="The stage's key.")
    reason: str
    author: str = Field(description="The `sub` of the token.")
    at: datetime
    recorded: bool = Field(description="Whether it stands in the history already.")


@router.post(
    "/v1/profiles/{profile_id}/moves",
    summary="Move somebody by hand",
    status_code=202,
    responses={200: {"model": Move, "description": "It was recorded before, by the same key."}},
)
async def post_move(
    who: Mover,
    behind: Behind,
    profile_id: UUID,
    body: NewMove,
    response: Response,
    key: Key = None,
) -> Move:
    """Decide that a person is in a stage from an instant on, whatever conditions say.

    The decision becomes a touchpoint of theirs (`Profile Moved`), with its reason and the token's
    `sub` as author: late touchpoints, merges and replays keep it, and conditions go on from there.
    202 says that it is safe; the stage change follows within a second.
    """
    asked = await find(behind, who, profile_id)
    decision = await _decision(behind, who, asked.id, body)
    known = None if key is None else str(move_id(who.workspace, asked.id, key))
    now = behind.clock.now()
    at = now if body.at is None else from_datetime(body.at)
    async with behind.database.connection() as db:
        mine = await sights.members(db, who.workspace, asked.id, FOREVER)
        names = {row["kind"]: row["value"] for row in reversed(mine)}
        present = await profiles.get(db, who.workspace, asked.id)
        main = behind.main(who.workspace).key
        await profiles.with_lifecycles(db, main, [] if present is None else [present])
        if known is not None:  # asked last: a repeat that lands meanwhile has not moved `present`
            before = await moving.recorded(db, [row["id"] for row in mine], known)
            if before is not None:
                response.status_code = 200
                return _repeated(asked, decision, known, before)
    if present is None or not names:
        raise unknown(profile_id)
    stands = present.lifecycles.get(decision.lifecycle) if body.at is None else None
    _check(None if stands is None else stands.stage, decision, present.first_seen, at, now)
    user = names.get(USER_ID)
    device = None if user else names.get(ANONYMOUS_ID)
    name = known or str(uuid4())
    occasion = Occasion(who.workspace, user, device, name, at, now)
    await behind.producer.publish([message(decision, occasion)])
    return _shown(asked, decision, name, at, recorded=False)


async def _decision(behind: Parts, who: Principal, profile: UUID, body: NewMove) -> ByHand:
    """Read what somebody decided, in terms of the definition that decides about the person.

    Raises:
        Rejected: 422; there is no such lifecycle or stage.
    """
    if await behind.board.running(who.workspace, body.lifecycle) is None:
        message = f"no such lifecycle runs; it is {' or '.join(behind.runs(who.workspace))}"
        raise Rejected(422, "move.lifecycle_unknown", message)
    rules = behind.board.rules
    others = rules.others(who.workspace, profile) or ()
    key = body.lifecycle or rules.default.lifecycle.key
    course = next(
        (it.course for it in others if it.key == key), rules.course(who.workspace, profile)
    )
    lifecycle = course.lifecycle
    if course.only is None:
        async with behind.database.connection() as db:
            standing = await explaining.standing(
                db, who.workspace, profile, course, behind.beside(key)
            )
        lifecycle = lifecycle if standing is None else standing[1]
    stage = lifecycle.names.get(body.to)
    if stage is None:
        listed = ", ".join(it.key for it in lifecycle.stages)
        raise Rejected(
            422, "move.stage_unknown", f"{lifecycle.key} has no stage {body.to}; it has {listed}"
        )
    return ByHand(lifecycle.key, stage, body.reason, who.subject)


def _check(stage: str | None, decision: ByHand, first_seen: datetime, at: int, now: int) -> None:
    if stage == decision.stage:
        raise Rejected(409, "move.there", f"they are in {stage} already")
    if at > now:
        raise Rejected(422, "move.future", "at lies in the future; leave it out for now")
    if at < from_datetime(first_seen):
        message = "at lies before their first touchpoint"
        raise Rejected(422, "move.too_early", message, first_seen=first_seen)


def _repeated(asked: Subject, decision: ByHand, name: str, before: tuple[int, ByHand]) -> Move:
    at, recorded = before
    if recorded != decision:
        raise Rejected(
            422,
            "move.key_reused",
            "this Idempotency-Key stands for another decision; use a new one",
        )
    return _shown(asked, decision, name, at, recorded=True)


def _shown(asked: Subject, decision: ByHand, name: str, at: int, *, recorded: bool) -> Move:
    return Move(
        id=f"{SOURCE}/{name}",
        profile_id=asked.id,
        lifecycle=decision.lifecycle,
        to=decision.stage,
        reason=decision.reason,
        author=decision.author,
        at=to_datetime(at),
        recorded=recorded,
    )
