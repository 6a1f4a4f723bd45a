"""Diffs that were asked for, as rows: what is asked, how far it is, who works on it, the answer.

Whoever works on one holds it by a lease with an epoch, as partitions are held: a process that died
or froze is replaced when the lease runs out, and what it writes afterwards changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import Policy

Row = Any  # Any: asyncpg publishes no types; a record
Status = Literal["waiting", "running", "done", "failed", "cancelled"]

KEPT_DAYS: Final = 30
"""Days that a diff is kept after it ended."""

_COLUMNS: Final = """id, workspace, key, number, terms, author, asked_at, state, done, total, place,
    answer, reason, ended_at, epoch"""
_ADD: Final = f"""
    INSERT INTO lifecycle_diff (id, workspace, key, number, terms, author, asked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_GET: Final = f"SELECT {_COLUMNS} FROM lifecycle_diff WHERE workspace = $1 AND id = $2"  # noqa: S608 - constants
_CLAIM: Final = f"""
    UPDATE lifecycle_diff SET state = 'running', owner = $1, epoch = epoch + 1,
        lease_until = now() + make_interval(secs => $2)
    WHERE id = (
        SELECT id FROM lifecycle_diff WHERE state IN ('waiting', 'running') AND lease_until < now()
        ORDER BY asked_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_MINE: Final = "WHERE id = $1 AND epoch = $2 AND state = 'running'"
_KEEP: Final = f"""
    UPDATE lifecycle_diff SET done = $3, total = $4, place = $5,
        lease_until = now() + make_interval(secs => $6)
    {_MINE} RETURNING true
"""  # noqa: S608 - constants
_GIVE_BACK: Final = f"""
    UPDATE lifecycle_diff SET state = 'waiting', lease_until = '-infinity' {_MINE}
"""  # noqa: S608 - constants
_END: Final = f"""
    UPDATE lifecycle_diff SET state = $3, done = coalesce($4, done), total = coalesce($4, total),
        answer = $5, reason = $6, ended_at = now(), place = NULL, lease_until = '-infinity'
    {_MINE} RETURNING true
"""  # noqa: S608 - constants
_CANCEL: Final = f"""
    UPDATE lifecycle_diff SET state = 'cancelled', ended_at = now(), place = NULL
    WHERE workspace = $1 AND id = $2 AND state IN ('waiting', 'running') RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_PURGE: Final = "DELETE FROM lifecycle_diff WHERE ended_at < now() - make_interval(days => $1)"


class Asked(Struct, frozen=True):
    """How a version is compared.

    Attributes:
        against: the number of the version that it is held against; None for what decides.
        share: of the people that are looked at.
        each: how many people of a kind of difference are shown.
        policy: what becomes of people in flight.
        mapping: for `map` and `drain`, the new stage for old ones.
    """

    against: int | None = None
    share: float = 1.0
    each: int = 3
    policy: Policy = "re-derive"
    mapping: dict[str, str] = {}


class Diff(Struct, frozen=True):
    """A diff that was asked for.

    Attributes:
        id: its id.
        workspace: whose people.
        key: the lifecycle's.
        number: the version that is tried.
        asked: how.
        author: who asked.
        asked_at: when; deadlines fire up to then.
        state: what becomes of it.
        done: people looked at.
        total: of how many; None where nobody has begun yet.
        place: how far it is, as whoever works on it writes it.
        answer: the answer as JSON, once it is done.
        reason: why it failed.
        ended_at: when it was done, failed or was cancelled.
        epoch: how often it was taken up.
    """

    id: UUID
    workspace: str
    key: str
    number: int
    asked: Asked
    author: str
    asked_at: datetime
    state: Status = "waiting"
    done: int = 0
    total: int | None = None
    place: bytes | None = None
    answer: bytes | None = None
    reason: str | None = None
    ended_at: datetime | None = None
    epoch: int = 0


class How(Struct, frozen=True):
    """How far a diff is: people looked at, of how many, and the place to go on from."""

    done: int
    total: int
    place: bytes


async def add(db: Connection, diff: Diff) -> Diff:
    """Write one that nobody has begun."""
    terms = msgspec.json.encode(diff.asked).decode()
    values = diff.id, diff.workspace, diff.key, diff.number, terms, diff.author, diff.asked_at
    return _diff(await db.fetchrow(_ADD, *values))


async def get(db: Connection, workspace: str, name: UUID) -> Diff:
    """Give one.

    Raises:
        Rejected: 404; there is none in this workspace.
    """
    row = await db.fetchrow(_GET, workspace, name)
    if row is None:
        raise Rejected(404, "diff.unknown", f"there is no diff {name} in this workspace")
    return _diff(row)


async def claim(db: Connection, owner: str, lease: float) -> Diff | None:
    """Take up the oldest that nobody works on; None where there is none.

    Args:
        db: a connection.
        owner: who takes it up.
        lease: seconds after which it is anybody's, if it is not kept.
    """
    row = await db.fetchrow(_CLAIM, owner, lease)
    return None if row is None else _diff(row)


async def keep(db: Connection, diff: Diff, how: How, lease: float) -> bool:
    """Write how far one is and keep it for so many seconds more.

    Returns:
        False where it was cancelled, or somebody else has taken it up since.
    """
    values = how.done, how.total, how.place, lease
    return bool(await db.fetchval(_KEEP, diff.id, diff.epoch, *values))


async def give_back(db: Connection, diff: Diff) -> None:
    """Let somebody else go on with one."""
    await db.execute(_GIVE_BACK, diff.id, diff.epoch)


async def finish(db: Connection, diff: Diff, people: int, answer: bytes) -> bool:
    """Write the answer, over so many people; tells whether it was still ours."""
    return bool(await db.fetchval(_END, diff.id, diff.epoch, "done", people, answer, None))


async def fail(db: Connection, diff: Diff, reason: str) -> bool:
    """Write why there will be no answer; tells whether it was still ours."""
    return bool(await db.fetchval(_END, diff.id, diff.epoch, "failed", None, None, reason))


async def cancel(db: Connection, workspace: str, name: UUID) -> Diff:
    """Have no answer made; whoever works on it stops within a second.

    Raises:
        Rejected: 404; there is none in this workspace. 409; it has ended already.
    """
    row = await db.fetchrow(_CANCEL, workspace, name)
    if row is None:
        ended = await get(db, workspace, name)
        raise Rejected(409, "diff.ended", f"diff {name} has ended already: {ended.state}")
    return _diff(row)


async def purge(db: Connection) -> None:
    """Delete those that ended long ago: their examples name people."""
    await db.execute(_PURGE, KEPT_DAYS)


def _diff(row: Row) -> Diff:
    fields = dict(row)
    asked = msgspec.json.decode(fields.pop("terms"), type=Asked)
    return Diff(asked=asked, **fields)
