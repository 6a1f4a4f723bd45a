"""Routes by which lifecycles run beside the main one, and stop."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import APIRouter
from pydantic import Field

from clm_common.errors import Rejected
from clm_common.runtime.models import Answer
from clm_stage_engine.api.parts import Behind, Parts
from clm_stage_engine.api.versions import Editor, Key, Rolling
from clm_stage_engine.store import eras, runs
from clm_stage_engine.store.runs import Action

router: Final = APIRouter(tags=["lifecycles"])


class RunView(Answer):
    """A lifecycle was started or stopped beside the main one."""

    id: int
    key: str
    action: Action
    began: datetime | None = Field(
        description="What happened before is history to it, and nobody is written to because of "
        "it; null where nobody was known yet."
    )


@router.post("/v1/lifecycles/{key}/start", summary="Run a lifecycle beside the main one")
async def post_start(who: Editor, behind: Behind, key: Key, rolling: Rolling) -> RunView:
    """Let a lifecycle of the installation, or one that was stopped, run in this workspace.

    Everybody's history is folded by it in the background; changes from before are `historical`.
    """
    await _check_startable(behind, who.workspace, key)
    async with behind.database.transaction() as tx:
        run = await runs.act(tx, who.workspace, key, "start", (who.subject, rolling.note))
    return _run(run)


@router.post("/v1/lifecycles/{key}/stop", summary="Stop a lifecycle beside the main one")
async def post_stop(who: Editor, behind: Behind, key: Key, rolling: Rolling) -> RunView:
    """Stop a lifecycle in this workspace: its standings go and its stage changes are retracted.

    Versions and history of the definition stay, so it can be started again. The main lifecycle
    cannot be stopped.
    """
    if behind.beside(key) is None:
        message = f"{key} is the main lifecycle; CLM_LIFECYCLE chooses another one"
        raise Rejected(409, "lifecycle.main", message)
    async with behind.database.transaction() as tx:
        run = await runs.act(tx, who.workspace, key, "stop", (who.subject, rolling.note))
    return _run(run)


async def _check_startable(behind: Parts, workspace: str, key: str) -> None:
    if behind.beside(key) is None:
        raise Rejected(409, "lifecycle.started", f"{key} is the main lifecycle and runs already")
    if behind.board.default(key) is not None:
        return
    async with behind.database.connection() as db:
        deciding = await eras.deciding(db, key, workspace)
    if not deciding:
        message = f"there is no lifecycle {key}; publish a version of it with `beside`"
        raise Rejected(404, "lifecycle.unknown", message)


def _run(it: runs.Run) -> RunView:
    return RunView(id=it.id, key=it.key, action=it.action, began=it.began)
