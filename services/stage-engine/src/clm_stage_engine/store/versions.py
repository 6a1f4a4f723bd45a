"""Versions of lifecycles: what a workspace wrote, and every act by which one came to decide.

Version 1 is what the installation ran before; it is written down with a workspace's first draft, so
that there is always something to go back to. Acts of one lifecycle take place one after the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection

Row = Any  # Any: asyncpg publishes no types; a record
State = Literal["draft", "canary", "published", "retired"]
Action = Literal["publish", "canary", "rollback"]

SETTLED: Final = 3.0
"""Seconds after which every process goes by a publication: they read them every second."""

_DECIDING: Final = """
    SELECT v.workspace, v.number, v.yaml, v.share, p.id AS publication,
        p.at < now() - make_interval(secs => $2) AS settled
    FROM lifecycle_version v CROSS JOIN LATERAL (
        SELECT id, at FROM lifecycle_publication p
        WHERE p.workspace = v.workspace AND p.key = v.key ORDER BY id DESC LIMIT 1
    ) AS p
    WHERE v.key = $1 AND v.state IN ('canary', 'published') ORDER BY v.workspace, v.number
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 10))"
_NEXT: Final = """
    SELECT coalesce(max(number), 0) + 1 FROM lifecycle_version WHERE workspace = $1 AND key = $2
"""
_INSERT: Final = """
    INSERT INTO lifecycle_version (workspace, key, number, digest, yaml, author, note, state,
        published_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, CASE WHEN $8 = 'published' THEN now() END)
    RETURNING *
"""
_VERSION: Final = """
    SELECT * FROM lifecycle_version WHERE workspace = $1 AND key = $2 AND number = $3
"""
_VERSIONS: Final = """
    SELECT * FROM lifecycle_version WHERE workspace = $1 AND key = $2 ORDER BY number DESC LIMIT $3
"""
_RETIRE: Final = """
    UPDATE lifecycle_version SET state = 'retired', share = NULL
    WHERE workspace = $1 AND key = $2 AND state = ANY($3::text[]) AND number <> $4
"""
_DECIDE: Final = """
    UPDATE lifecycle_version
    SET state = $4, share = $5, published_at = coalesce(published_at, now())
    WHERE workspace = $1 AND key = $2 AND number = $3
"""
_ACT: Final = """
    INSERT INTO lifecycle_publication (workspace, key, number, action, share, author, note)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING *
"""
_ACTS: Final = """
    SELECT * FROM lifecycle_publication WHERE workspace = $1 AND key = $2 ORDER BY id DESC LIMIT $3
"""
_STANDING: Final = """
    SELECT number, state FROM lifecycle_version
    WHERE workspace = $1 AND key = $2 AND state IN ('canary', 'published')
"""
_BEFORE: Final = """
    SELECT number FROM lifecycle_publication
    WHERE workspace = $1 AND key = $2 AND action = 'publish' AND number <> $3
        AND id < (SELECT max(id) FROM lifecycle_publication
            WHERE workspace = $1 AND key = $2 AND action = 'publish' AND number = $3)
    ORDER BY id DESC LIMIT 1
"""


class Deciding(Struct, frozen=True):
    """A version that decides.

    Attributes:
        workspace: about whose people.
        number: the version's.
        yaml: the definition.
        share: of the people, for a canary; None decides about all others.
        publication: the workspace's newest act.
        settled: that is some seconds ago.
    """

    workspace: str
    number: int
    yaml: str
    share: float | None
    publication: int
    settled: bool


class Version(Struct, frozen=True):
    """A version as it is kept."""

    workspace: str
    key: str
    number: int
    digest: str
    yaml: str
    author: str
    note: str
    state: State
    share: float | None
    created_at: datetime
    published_at: datetime | None


class Act(Struct, frozen=True):
    """An act by which a version came to decide: about everybody, or about a share of the people."""

    id: int
    number: int
    action: Action
    share: float | None
    author: str
    note: str
    at: datetime


class Written(Struct, frozen=True):
    """A definition to be kept, and who wrote it."""

    digest: str
    yaml: str
    author: str
    note: str


async def deciding(db: Connection, key: str) -> list[Deciding]:
    """Give the versions of a lifecycle that decide, of all workspaces."""
    return [Deciding(**dict(row)) for row in await db.fetch(_DECIDING, key, SETTLED)]


async def add(tx: Connection, workspace: str, key: str, written: Written, seed: Written) -> Version:
    """Keep a draft; the first one comes after version 1, which is what runs already.

    Args:
        tx: the open transaction.
        workspace: whose.
        key: the lifecycle's.
        written: the draft.
        seed: what runs where nothing was published.
    """
    await tx.execute(_LOCK, workspace, key)
    number = await tx.fetchval(_NEXT, workspace, key)
    if number == 1:
        await _insert(tx, workspace, key, 1, seed, "published")
        await _act(tx, workspace, key, 1, "publish", None, seed)
        number = 2
    return await _insert(tx, workspace, key, number, written, "draft")


async def get(db: Connection, workspace: str, key: str, number: int) -> Version:
    """Give a version.

    Raises:
        Rejected: 404; there is none.
    """
    row = await db.fetchrow(_VERSION, workspace, key, number)
    if row is None:
        message = f"{key} has no version {number}; its history lists them"
        raise Rejected(404, "lifecycle.version_unknown", message)
    return _version(row)


async def history(
    db: Connection, workspace: str, key: str, limit: int
) -> tuple[list[Version], list[Act]]:
    """Give the newest versions and the newest acts, newest first."""
    versions = await db.fetch(_VERSIONS, workspace, key, limit)
    acts = await db.fetch(_ACTS, workspace, key, limit)
    return [_version(row) for row in versions], [_read_act(row) for row in acts]


async def publish(
    tx: Connection, version: Version, share: float | None, author: str, note: str
) -> Act:
    """Let a version decide: about everybody, or as a canary about a share of the people.

    Raises:
        Rejected: 409; it decides about everybody already.
    """
    workspace, key, number = version.workspace, version.key, version.number
    await tx.execute(_LOCK, workspace, key)
    standing = {row["state"]: row["number"] for row in await tx.fetch(_STANDING, workspace, key)}
    if standing.get("published") == number and (share is not None or "canary" not in standing):
        message = f"version {number} decides about everybody already"
        raise Rejected(409, "lifecycle.published", message)
    action: Action = "publish" if share is None else "canary"
    replaced = ["canary", "published"] if share is None else ["canary"]
    await tx.execute(_RETIRE, workspace, key, replaced, number)
    state = "published" if share is None else "canary"
    await tx.execute(_DECIDE, workspace, key, number, state, share)
    told = Written(version.digest, version.yaml, author, note)
    return await _act(tx, workspace, key, number, action, share, told)


async def roll_back(tx: Connection, workspace: str, key: str, author: str, note: str) -> Act:
    """End a canary; where there is none, let the version decide that decided before this one.

    Raises:
        Rejected: 409; there is nothing to go back to.
    """
    await tx.execute(_LOCK, workspace, key)
    standing = {row["state"]: row["number"] for row in await tx.fetch(_STANDING, workspace, key)}
    number = standing.get("published")
    if number is not None and "canary" not in standing:
        number = await tx.fetchval(_BEFORE, workspace, key, number)
    if number is None:
        message = f"nothing decided about {key} before what decides now"
        raise Rejected(409, "lifecycle.nothing_before", message)
    await tx.execute(_RETIRE, workspace, key, ["canary", "published"], number)
    await tx.execute(_DECIDE, workspace, key, number, "published", None)
    return await _act(tx, workspace, key, number, "rollback", None, Written("", "", author, note))


async def _insert(
    tx: Connection, workspace: str, key: str, number: int, written: Written, state: State
) -> Version:
    row = await tx.fetchrow(
        _INSERT,
        workspace,
        key,
        number,
        written.digest,
        written.yaml,
        written.author,
        written.note,
        state,
    )
    return _version(row)


async def _act(  # noqa: PLR0913, PLR0917 - a row
    tx: Connection,
    workspace: str,
    key: str,
    number: int,
    action: Action,
    share: float | None,
    by: Written,
) -> Act:
    row = await tx.fetchrow(_ACT, workspace, key, number, action, share, by.author, by.note)
    return _read_act(row)


def _version(row: Row) -> Version:
    return Version(**{name: row[name] for name in Version.__struct_fields__})


def _read_act(row: Row) -> Act:
    return Act(**{name: row[name] for name in Act.__struct_fields__})
