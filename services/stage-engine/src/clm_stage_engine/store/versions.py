"""Versions of lifecycles: what a workspace wrote, and every act by which one came to decide.

Version 1 is what the installation ran before; it is written down with a workspace's first draft, so
that there is always something to go back to. Acts of one lifecycle take place one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import Policy
from clm_stage_engine.store import eras
from clm_stage_engine.store.eras import Eras, KeptEra

Row = Any  # Any: asyncpg publishes no types; a record
State = Literal["draft", "canary", "published", "retired"]
Action = Literal["publish", "canary", "rollback"]

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
    INSERT INTO lifecycle_publication (workspace, key, number, action, share, author, note, eras)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb) RETURNING *
"""
_ACTS: Final = """
    SELECT * FROM lifecycle_publication WHERE workspace = $1 AND key = $2 ORDER BY id DESC LIMIT $3
"""
_STANDING: Final = """
    SELECT number, state FROM lifecycle_version
    WHERE workspace = $1 AND key = $2 AND state IN ('canary', 'published')
"""
_ERAS: Final = """
    SELECT eras FROM lifecycle_publication
    WHERE workspace = $1 AND key = $2 AND action <> 'canary' ORDER BY id DESC LIMIT 1
"""
_BEFORE: Final = """
    SELECT eras FROM lifecycle_publication
    WHERE workspace = $1 AND key = $2 AND action = 'publish' AND eras <> $3::jsonb
        AND id < (SELECT max(id) FROM lifecycle_publication
            WHERE workspace = $1 AND key = $2 AND action = 'publish' AND eras = $3::jsonb)
    ORDER BY id DESC LIMIT 1
"""

MOST: Final = 20
"""Eras of a course; a publication that derives everybody again begins a new one."""


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
    eras: Eras


class Terms(Struct, frozen=True):
    """How a version comes to decide.

    Attributes:
        at: when, µs.
        share: of the people, for a canary; None for everybody.
        policy: what becomes of people in flight.
        stages: the new stage's key for every stage they may come from, for `map` and `drain`.
    """

    at: int
    share: float | None = None
    policy: Policy = "re-derive"
    stages: Mapping[str, str] = {}


class Written(Struct, frozen=True):
    """A definition to be kept, and who wrote it."""

    digest: str
    yaml: str
    author: str
    note: str


async def lock(tx: Connection, workspace: str, key: str) -> None:
    """Let nobody else write or publish a version of a lifecycle until the transaction ends."""
    await tx.execute(_LOCK, workspace, key)


async def add(
    tx: Connection, workspace: str, key: str, written: Written, seed: Written | None
) -> Version:
    """Keep a draft; the first one comes after version 1, which is what runs already.

    Args:
        tx: the open transaction.
        workspace: whose.
        key: the lifecycle's.
        written: the draft.
        seed: what runs where nothing was published; None where nothing does.
    """
    await lock(tx, workspace, key)
    number = await tx.fetchval(_NEXT, workspace, key)
    if number == 1 and seed is not None:
        await _insert(tx, workspace, key, 1, seed, "published")
        await _act(tx, workspace, key, (KeptEra(1),), "publish", None, seed)
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


async def publish(tx: Connection, version: Version, terms: Terms, author: str, note: str) -> Act:
    """Let a version decide: about everybody, or as a canary about a share of the people.

    Raises:
        Rejected: 409; it decides about everybody already, too many versions decide in turn, or
            nothing decided before: then there is nobody in flight, and no canary.
    """
    workspace, key, number, share = version.workspace, version.key, version.number, terms.share
    await lock(tx, workspace, key)
    standing = {row["state"]: row["number"] for row in await tx.fetch(_STANDING, workspace, key)}
    before = await _eras(tx, workspace, key)
    _check(before, number, terms, ends_canary=share is None and "canary" in standing)
    after = _after(before, number, terms)
    action: Action = "publish" if share is None else "canary"
    replaced = ["canary", "published"] if share is None else ["canary"]
    await tx.execute(_RETIRE, workspace, key, replaced, number)
    state = "published" if share is None else "canary"
    await tx.execute(_DECIDE, workspace, key, number, state, share)
    told = Written(version.digest, version.yaml, author, note)
    return await _act(tx, workspace, key, after, action, share, told)


def _check(before: Eras, number: int, terms: Terms, *, ends_canary: bool) -> None:
    """Refuse what would change nothing, and what would never end."""
    if not before:
        if terms.policy != "re-derive" or terms.share is not None:
            message = "nothing decides yet: publish it to everybody, by the policy re-derive"
            raise Rejected(409, "lifecycle.first", message)
        return
    newest, count = before[-1], len(before)
    alone = newest.policy in {"re-derive", "map"}
    changes = not alone or (terms.policy == "re-derive" and count > 1)
    if newest.number == number and not (ends_canary or (changes and terms.share is None)):
        message = f"version {number} decides about everybody already"
        raise Rejected(409, "lifecycle.published", message)
    if terms.policy != "re-derive" and count >= MOST:
        message = f"{MOST} versions decide in turn already; publish one by the policy re-derive"
        raise Rejected(409, "lifecycle.too_many_eras", message)


def _after(before: Eras, number: int, terms: Terms) -> Eras:
    """Give the eras as a publication leaves them."""
    if terms.policy == "re-derive":
        return (KeptEra(number),)
    at = to_datetime(max(terms.at, before[-1].since + 1))
    return (*before, KeptEra(number, terms.policy, at, terms.stages))


async def roll_back(tx: Connection, workspace: str, key: str, author: str, note: str) -> Act:
    """End a canary; where there is none, let decide what decided before the last publication.

    Raises:
        Rejected: 409; there is nothing to go back to.
    """
    await lock(tx, workspace, key)
    standing = {row["state"]: row["number"] for row in await tx.fetch(_STANDING, workspace, key)}
    found: Eras | None = None
    if standing:
        found = await _eras(tx, workspace, key)
    if found is not None and "canary" not in standing:
        before = await tx.fetchval(_BEFORE, workspace, key, eras.written(found))
        found = None if before is None else eras.read(before)
    if found is None:
        message = f"nothing decided about {key} before what decides now"
        raise Rejected(409, "lifecycle.nothing_before", message)
    number = found[-1].number
    await tx.execute(_RETIRE, workspace, key, ["canary", "published"], number)
    await tx.execute(_DECIDE, workspace, key, number, "published", None)
    return await _act(tx, workspace, key, found, "rollback", None, Written("", "", author, note))


async def _eras(tx: Connection, workspace: str, key: str) -> Eras:
    """Give what decides about everybody who is in no canary; nothing before a publication."""
    found = await tx.fetchval(_ERAS, workspace, key)
    return () if found is None else eras.read(found)


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
    after: Eras,
    action: Action,
    share: float | None,
    by: Written,
) -> Act:
    number, text = after[-1].number, eras.written(after)
    row = await tx.fetchrow(_ACT, workspace, key, number, action, share, by.author, by.note, text)
    return _read_act(row)


def _version(row: Row) -> Version:
    return Version(**{name: row[name] for name in Version.__struct_fields__})


def _read_act(row: Row) -> Act:
    fields: dict[str, Row] = {name: row[name] for name in Act.__struct_fields__}
    fields["eras"] = eras.read(row["eras"])
    return Act(**fields)
