"""Which lifecycles run beside the main one: every act by which one was started or stopped."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.instant import from_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import ALWAYS
from clm_stage_engine.store.eras import SETTLED

Row = Any  # Any: asyncpg publishes no types; a record
Action = Literal["start", "stop"]

INSTALLATION: Final = "installation"
"""The author of what the installation's settings say."""

_NEWEST: Final = """
    SELECT DISTINCT ON (workspace, key) id, workspace, key, action, began,
        at < now() - make_interval(secs => $1) AS settled
    FROM lifecycle_run ORDER BY workspace, key, id DESC
"""
_ADD: Final = """
    INSERT INTO lifecycle_run (workspace, key, action, began, author, note)
    VALUES ($1, $2, $3::text, CASE WHEN $3::text = 'start' AND EXISTS (
        SELECT FROM profile WHERE $1::text IS NULL OR workspace = $1) THEN now() END, $4, $5)
    RETURNING id, workspace, key, action, began, false AS settled
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('lifecycle_run', 10))"


class Run(Struct, frozen=True):
    """The newest act about a lifecycle in a workspace.

    Attributes:
        id: its number; `lifecycle_sweep` says how far everybody is folded again for it.
        workspace: where; None for all workspaces that have no act of their own about it.
        key: the lifecycle's.
        action: what was done.
        began: what happened before this instant is history and nobody is written to because of
            it; None where nobody was known yet.
        settled: that is some seconds ago.
    """

    id: int
    workspace: str | None
    key: str
    action: Action
    began: datetime | None
    settled: bool

    @property
    def since(self) -> int:
        """The instant `began`, µs."""
        return ALWAYS if self.began is None else from_datetime(self.began)


async def newest(db: Connection) -> list[Run]:
    """Give the newest act about each lifecycle, of each workspace and of the installation."""
    return [_run(row) for row in await db.fetch(_NEWEST, SETTLED)]


async def configure(tx: Connection, keys: Collection[str]) -> None:
    """Start what the settings name and does not run everywhere yet, stop what they do no longer."""
    await tx.execute(_LOCK)
    runs = {it.key for it in await newest(tx) if it.workspace is None and it.action == "start"}
    for key in keys:
        if key not in runs:
            await tx.execute(_ADD, None, key, "start", INSTALLATION, "by the settings")
    for key in sorted(runs.difference(keys)):
        await tx.execute(_ADD, None, key, "stop", INSTALLATION, "by the settings")


async def last(db: Connection, workspace: str, key: str) -> Run | None:
    """Give the act that says whether a lifecycle runs in a workspace; None where none does."""
    of = {it.workspace: it for it in await newest(db) if it.key == key}
    return of.get(workspace) or of.get(None)


async def running(db: Connection, workspace: str, key: str) -> Run | None:
    """Give the act by which a lifecycle runs in a workspace; None where it does not."""
    found = await last(db, workspace, key)
    return found if found is not None and found.action == "start" else None


async def act(tx: Connection, workspace: str, key: str, action: Action, by: tuple[str, str]) -> Run:
    """Start or stop a lifecycle in a workspace.

    Args:
        tx: the open transaction.
        workspace: where.
        key: the lifecycle's.
        action: what to do.
        by: the author, and a note that says why.

    Raises:
        Rejected: 409; it runs already, or does not run.
    """
    await tx.execute(_LOCK)
    runs = await running(tx, workspace, key) is not None
    if runs == (action == "start"):
        state = "runs already" if runs else "does not run"
        raise Rejected(409, f"lifecycle.{'started' if runs else 'stopped'}", f"{key} {state}")
    return _run(await tx.fetchrow(_ADD, workspace, key, action, *by))


def _run(row: Row) -> Run:
    return Run(**{name: row[name] for name in Run.__struct_fields__})
