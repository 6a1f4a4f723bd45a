"""Routes of a lifecycle's versions: draft, publish, canary, roll back, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clm_common import catalog
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import DefinitionError, Rejected
from clm_common.runtime.models import Answer
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind, Limit, Parts, Reader
from clm_stage_engine.changing.files import LARGEST
from clm_stage_engine.core.eras import Policy
from clm_stage_engine.store import runs, sweeps
from clm_stage_engine.store import versions as store
from clm_stage_engine.store.versions import Action, State, Terms, Written
from clm_stage_engine.transferring import going_over

router: Final = APIRouter(tags=["lifecycles"])

Editor = Annotated[Principal, Depends(require("definitions:write"))]
Key = Annotated[catalog.Key, Path(description="The lifecycle's key.")]
Number = Annotated[int, Path(ge=1, le=1_000_000, description="The version's number.")]
Stage = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Note = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1000)]


class Draft(BaseModel):
    """A definition to be kept as a draft."""

    model_config = ConfigDict(extra="forbid")

    yaml: Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=LARGEST)] = Field(
        description="The definition."
    )
    note: Note = Field("", description="What it is for.")
    beside: bool = Field(False, description="It may be of a lifecycle that does not run yet.")


class Publishing(BaseModel):
    """How a version is published."""

    model_config = ConfigDict(extra="forbid")

    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="A canary: it decides about this share of the people, always the same ones; "
        "left out: about everybody.",
    )
    policy: Policy = Field(
        "re-derive",
        description="What becomes of people in flight. `re-derive`: their whole timeline is what "
        "the new version makes of their history; `map`: they keep their stage, as `mapping` "
        "translates it, and the new version decides from now on; `pin`: they stay with the version "
        "that decides about them; `drain`: they stay until their next change of stage.",
    )
    mapping: Annotated[dict[Stage, Stage], Field(max_length=200)] = Field(
        {},
        description="For `map` and `drain`: the new stage for old ones. A stage that both versions "
        "have, by key or alias, need not be named.",
        examples=[{"development": "conversion"}],
    )
    note: Note = Field("", description="Why.")
    beside: bool = Field(
        False,
        description="Where the lifecycle does not run in this workspace: start it beside those "
        "that do.",
    )


class Rolling(BaseModel):
    """Why one goes back, starts or stops."""

    model_config = ConfigDict(extra="forbid")

    note: Note = ""


class VersionView(Answer):
    """A version of a lifecycle."""

    key: str
    number: int
    definition: str = Field(description="Its digest when it was written.")
    state: State = Field(
        description="`draft`: decides about nobody yet; `canary`: about a share of the people; "
        "`published`: about everybody else; `retired`: did once, and "
        "may still about people in flight, as the newest publication's `eras` say."
    )
    share: float | None = Field(description="Of the people, for a canary.")
    author: str
    note: str
    created_at: datetime
    published_at: datetime | None = Field(description="When it first came to decide.")


class VersionText(VersionView):
    """A version with its text."""

    yaml: str


class EraView(Answer):
    """From when on a version decides, and what became of the people in flight."""

    number: int = Field(description="The version's.")
    policy: Policy
    at: datetime | None = Field(description="Since when; null: about all before, too.")
    stages: dict[str, str] = Field(description="The new stage of each old one, where mapped.")


class PublicationView(Answer):
    """An act by which a version came to decide."""

    id: int
    key: str
    number: int
    action: Action
    share: float | None
    author: str
    note: str
    at: datetime
    eras: list[EraView] = Field(description="Which versions decide from then on, in turn.")


class LifecycleHistory(Answer):
    """What was written and what was published, newest first."""

    key: str
    versions: list[VersionView]
    publications: list[PublicationView]


class SweepView(Answer):
    """How far everybody is folded again after the newest publication."""

    publication: int = Field(description="The publication's, or of a start or a stop its id.")
    partitions: int = Field(description="How many there are.")
    partitions_done: int
    folded_again: int = Field(description="People whom it folded again; others did not need it.")
    done: bool


@router.post("/v1/lifecycles", status_code=201, summary="Keep a draft")
async def post_draft(who: Editor, behind: Behind, draft: Draft) -> VersionView:
    """Check a definition and keep it as the next version; it decides about nobody yet.

    The first draft of a workspace is version 2: version 1 is what runs already.
    """
    try:
        found = behind.board.compile(draft.yaml)
    except DefinitionError as error:
        raise Rejected(422, error.slug, error.message) from error
    runs_here = await _runs(behind, who.workspace, found.key, beside=draft.beside)
    written = Written(found.digest, draft.yaml, who.subject, draft.note)
    default = behind.board.default(found.key) if runs_here else None
    seed = None
    if default is not None:
        seed = Written(default.lifecycle.digest, default.view.yaml, "installation", "ran before")
    async with behind.database.transaction() as tx:
        stored = await store.add(tx, who.workspace, found.key, written, seed)
    return _view(stored)


@router.get("/v1/lifecycles/{key}/history", summary="Versions and publications")
async def get_history(
    who: Reader, behind: Behind, key: Key, limit: Limit = 100
) -> LifecycleHistory:
    """List what was written and by which acts it came to decide."""
    async with behind.database.connection() as db:
        versions, acts = await store.history(db, who.workspace, key, limit)
    return LifecycleHistory(
        key=key,
        versions=[_view(it) for it in versions],
        publications=[_act(key, it) for it in acts],
    )


@router.get("/v1/lifecycles/{key}/versions/{number}", summary="One version")
async def get_version(who: Reader, behind: Behind, key: Key, number: Number) -> VersionText:
    """Give a version with its text."""
    async with behind.database.connection() as db:
        found = await store.get(db, who.workspace, key, number)
    return VersionText(**_view(found).model_dump(), yaml=found.yaml)


@router.post("/v1/lifecycles/{key}/versions/{number}/publish", summary="Let a version decide")
async def post_publish(
    who: Editor, behind: Behind, key: Key, number: Number, publishing: Publishing
) -> PublicationView:
    """Let a version decide, about everybody or as a canary; processes follow within two seconds.

    By the policy `re-derive` whoever it is about is folded again from their history: at once when
    something of theirs arrives, all others in the background. `progress` says how far that is.
    """
    starts = not await _runs(behind, who.workspace, key, beside=publishing.beside)
    async with behind.database.transaction() as tx:
        await store.lock(tx, who.workspace, key)
        version = await store.get(tx, who.workspace, key, number)
        try:
            lifecycle = behind.board.compile(version.yaml)
            stages = await going_over(
                tx, behind.board, version, lifecycle, publishing.policy, publishing.mapping
            )
        except DefinitionError as error:
            raise Rejected(409, error.slug, error.message) from error
        terms = Terms(behind.clock.now(), publishing.share, publishing.policy, stages)
        act = await store.publish(tx, version, terms, who.subject, publishing.note)
        if starts and await runs.running(tx, who.workspace, key) is None:
            await runs.act(tx, who.workspace, key, "start", (who.subject, publishing.note))
    return _act(key, act)


@router.post("/v1/lifecycles/{key}/rollback", summary="Go back")
async def post_rollback(who: Editor, behind: Behind, key: Key, rolling: Rolling) -> PublicationView:
    """End a canary; where there is none, let the version decide that decided before this one."""
    await _runs(behind, who.workspace, key)
    async with behind.database.transaction() as tx:
        act = await store.roll_back(tx, who.workspace, key, who.subject, rolling.note)
    return _act(key, act)


@router.get("/v1/lifecycles/{key}/progress", summary="How far a publication is")
async def get_sweep(who: Reader, behind: Behind, key: Key) -> SweepView:
    """Tell how far everybody is folded again after the newest publication, start or stop."""
    async with behind.database.connection() as db:
        _, acts = await store.history(db, who.workspace, key, 1)
        run = await runs.last(db, who.workspace, key)
        numbers = [it.id for it in acts] + ([] if run is None else [run.id])
        if not numbers:
            message = f"no version of {key} was ever published"
            raise Rejected(404, "lifecycle.never_published", message)
        newest = max(numbers)
        total = await sweeps.total(db, newest)
    return SweepView(
        publication=newest,
        partitions=TOUCHPOINTS.partitions,
        partitions_done=total.partitions,
        folded_again=total.folded,
        done=total.partitions == TOUCHPOINTS.partitions,
    )


async def _runs(behind: Parts, workspace: str, key: str, *, beside: bool = False) -> bool:
    """Tell whether a lifecycle runs here, which it must unless it may be started beside the others.

    Raises:
        Rejected: 409; it does not, and must.
    """
    runs_here = await behind.board.running(workspace, key) is not None
    if not runs_here and not beside:
        main = behind.main(workspace).key
        message = f"{key} does not run in this workspace, {main} does; `beside` starts it as well"
        raise Rejected(409, "lifecycle.not_running", message)
    return runs_here


def _view(it: store.Version) -> VersionView:
    return VersionView(
        key=it.key,
        number=it.number,
        definition=it.digest,
        state=it.state,
        share=it.share,
        author=it.author,
        note=it.note,
        created_at=it.created_at,
        published_at=it.published_at,
    )


def _act(key: str, it: store.Act) -> PublicationView:
    fields = msgspec.structs.asdict(it)
    fields["eras"] = [EraView(**msgspec.structs.asdict(era)) for era in it.eras]
    return PublicationView(key=key, **fields)
