"""Routes by which somebody decides that profiles are one person, or not, and what was decided."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID, uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID, decision_id
from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_common.runtime.tokens import Principal
from clm_stage_engine.api.moves import Key, Mover, Reason
from clm_stage_engine.api.parts import (
    Behind,
    Limit,
    Parts,
    Place,
    Reader,
    Subject,
    Word,
    find,
    look_now,
)
from clm_stage_engine.core.deciding import ByHand, message
from clm_stage_engine.core.merging import Kind
from clm_stage_engine.core.ours import SOURCE, Occasion
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import merging
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.sight import FOREVER
from clm_stage_engine.views import Decision, DecisionPage, Named

router: Final = APIRouter(tags=["merges"])

Pair = tuple[str, str]
_RECORDED: Final = {200: {"model": Decision, "description": "It was recorded, by the same key."}}


class NewMerge(BaseModel):
    """A merge to make."""

    model_config = ConfigDict(extra="forbid")

    other: UUID = Field(description="The profile that is merged into this one.")
    reason: Reason = Field(description="Why.")


class NewUnmerge(BaseModel):
    """A decision to take back."""

    model_config = ConfigDict(extra="forbid")

    decision: UUID = Field(description="Its id, as `merges` lists it.")
    reason: Reason = Field(description="Why.")


class NewSplit(BaseModel):
    """An identifier to take off a profile."""

    model_config = ConfigDict(extra="forbid")

    identifier: Annotated[Word, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*:.")] = Field(
        description="`user_id:42` or `anonymous_id:…`, which gets a profile of its own; or what "
        "joined others, such as `email:ada@example.com`, which joins them no more."
    )
    reason: Reason = Field(description="Why.")


class Asking:
    """What somebody decides about a profile, and how it is made safe."""

    def __init__(self, behind: Parts, who: Principal, subject: Subject, key: str | None) -> None:
        self.who = who
        self.subject = subject
        self._behind = behind
        self._key = key

    async def decide(
        self,
        kind: Kind,
        decision: ByHand,
        response: Response,
        needless: Rejected | None = None,
    ) -> Decision:
        """Publish a decision; give the recorded one where it was made before by the same key.

        Args:
            kind: what is decided.
            decision: about whom, and why.
            response: its status tells which of the two it was.
            needless: the refusal where it would change nothing and was not made by this key.

        Raises:
            Rejected: 422; the key stands for another decision. Or `needless`.
        """
        workspace, now = self.who.workspace, self._behind.clock.now()
        named = self._key and decision_id(workspace, "key", self.subject.asked, kind, self._key)
        cause = f"{SOURCE}/{named or uuid4()}"
        made = Decision(
            id=decision_id(workspace, "decision", cause),
            kind=kind,
            at=to_datetime(now),
            recorded_at=None,
            reason=decision.reason,
            author=decision.author,
            cause=cause,
            identifiers=[Named(kind=it, value=value) for it, value in decision.members],
            undoes=decision.undoes,
            undone_by=None,
            without_effect=None,
        )
        if named and (known := await self._recorded(made)):
            response.status_code = 200
            return known
        if needless is not None:
            raise needless
        routed = await self._routed(decision)
        occasion = Occasion(
            workspace,
            routed.get(USER_ID),
            routed.get(ANONYMOUS_ID),
            cause.removeprefix(f"{SOURCE}/"),
            now,
            now,
        )
        await self._behind.producer.publish([message(kind, decision, occasion)])
        return made

    async def _routed(self, decision: ByHand) -> dict[str, str]:
        """Give the id that the event goes by: the first member that is one, or the profile's own.

        Raises:
            Rejected: 404; the person was erased at this moment.
        """
        own = [it for it in decision.members if it[0] in {USER_ID, ANONYMOUS_ID}]
        if not own:
            async with self._behind.database.connection() as db:
                own = [await _name(db, self.who, self.subject.id)]
        return dict(own[:1])

    async def _recorded(self, made: Decision) -> Decision | None:
        async with self._behind.database.connection() as db:
            known = await merging.one(db, self.who.workspace, made.id)
        if known is not None and (known.reason, known.undoes) != (made.reason, made.undoes):
            message = "this Idempotency-Key stands for another decision; use a new one"
            raise Rejected(422, "merge.key_reused", message)
        return known


@router.post(
    "/v1/profiles/{profile_id}/merge",
    summary="Merge another profile into one",
    status_code=202,
    responses=_RECORDED,  # type: ignore[arg-type] # FastAPI asks for dict[int | str, …], which is invariant
)
async def post_merge(
    who: Mover,
    behind: Behind,
    profile_id: UUID,
    body: NewMerge,
    response: Response,
    key: Key = None,
) -> Decision:
    """Decide that two profiles are one person: the other's history becomes this one's.

    202 says that it is safe; the merged profile follows within a second, under this profile's id.
    Where this one is a device's and the other a customer's, the customer's id stays.
    """
    asked = await find(behind, who, profile_id)
    other = await find(behind, who, body.other)
    asking = Asking(behind, who, asked, key)
    needless = None
    if asked.id == other.id:
        needless = Rejected(409, "merge.same", "these are one person already")
    async with behind.database.connection() as db:
        into = await _name(db, who, asked.id)
        absorbed = await _name(db, who, body.other if asked.id == other.id else other.id)
    decision = ByHand((into, absorbed), body.reason, who.subject)
    return await asking.decide("merge", decision, response, needless)


@router.post(
    "/v1/profiles/{profile_id}/unmerge",
    summary="Take a decision back",
    status_code=202,
    responses=_RECORDED,  # type: ignore[arg-type] # FastAPI asks for dict[int | str, …], which is invariant
)
async def post_unmerge(
    who: Mover,
    behind: Behind,
    profile_id: UUID,
    body: NewUnmerge,
    response: Response,
    key: Key = None,
) -> Decision:
    """Take back a merge, an alias or a split of this person: everybody is restored.

    What was taken back does not count any more, as if it had never been said; an alias that is
    sent again stays without effect. 202 says that it is safe.
    """
    async with look_now(behind, who, profile_id) as (db, asked):
        mine = await sights.members(db, who.workspace, asked.id, FOREVER)
        known = await merging.one(db, who.workspace, body.decision)
    names = {(row["kind"], row["value"]) for row in mine}
    if known is None or not names & {(it.kind, it.value) for it in known.identifiers}:
        raise Rejected(404, "merge.unknown", "no such decision is recorded about this person")
    if known.kind == "unmerge":
        raise Rejected(422, "merge.final", "an unmerge cannot be taken back; merge again")
    needless = None
    if known.undone_by is not None:
        needless = Rejected(409, "merge.undone", "it was taken back already", by=known.undone_by)
    members = tuple((it.kind, it.value) for it in known.identifiers)
    decision = ByHand(members, body.reason, who.subject, known.id)
    return await Asking(behind, who, asked, key).decide("unmerge", decision, response, needless)


@router.post(
    "/v1/profiles/{profile_id}/split",
    summary="Take an identifier off a profile",
    status_code=202,
    responses=_RECORDED,  # type: ignore[arg-type] # FastAPI asks for dict[int | str, …], which is invariant
)
async def post_split(
    who: Mover,
    behind: Behind,
    profile_id: UUID,
    body: NewSplit,
    response: Response,
    key: Key = None,
) -> Decision:
    """Give one identifier a profile of its own, for example a device that several people share.

    Its history goes with it. It follows no link any more, so the next login on the device does not
    undo it; it may be merged again. A customer's devices go with the customer. 202 says that it
    is safe.
    """
    kind, _, value = body.identifier.partition(":")
    kinds = [USER_ID, ANONYMOUS_ID, *sorted(behind.identifiers.joining)]
    if kind not in kinds:
        raise Rejected(422, "request.invalid", f"identifier must be of {', '.join(kinds)}")
    async with look_now(behind, who, profile_id) as (db, asked):
        mine = await sights.members(db, who.workspace, asked.id, FOREVER)
        if (kind, value) not in {(row["kind"], row["value"]) for row in mine}:
            raise Rejected(404, "split.unknown", f"{body.identifier} is none of this person's")
        alone = await merging.stands_alone(
            db, who.workspace, (kind, value), behind.identifiers.bounds
        )
    needless = None
    if alone:
        message = f"{body.identifier} has a profile of its own already"
        needless = Rejected(409, "split.alone", message)
    decision = ByHand(((kind, value),), body.reason, who.subject)
    return await Asking(behind, who, asked, key).decide("split", decision, response, needless)


@router.get("/v1/profiles/{profile_id}/merges", summary="Decisions about who is one person")
async def get_merges(
    who: Reader, behind: Behind, profile_id: UUID, cursor: Place = None, limit: Limit = 100
) -> DecisionPage:
    """Give the decisions about a person's identifiers, taken back or not, the newest first."""
    async with look_now(behind, who, profile_id) as (db, person):
        mine = await sights.members(db, person.workspace, person.id, FOREVER)
        ids = [row["id"] for row in mine]
        bounds = behind.identifiers.bounds
        return await merging.about(db, person.workspace, ids, bounds, Page(cursor, limit))


async def _name(db: Connection, who: Principal, profile: UUID) -> Pair:
    """Give the identifier whose own profile it is.

    Raises:
        Rejected: 404; it was erased at this moment.
    """
    found = await merging.name_of(db, who.workspace, profile)
    if found is None:
        raise Rejected(404, "profile.unknown", f"there is no profile {profile} in this workspace")
    return found
