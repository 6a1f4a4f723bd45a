"""The sources of a company's touchpoints, their write keys and their policies.

Keys are kept as hashes only: what is shown once at creation cannot be shown again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.store.database import Connection, Database
from clm_ingest.core.inbound import HookKeys
from clm_ingest.core.judging import Plan
from clm_ingest.core.policy import DEFAULT, Policy
from clm_ingest.core.rules import Rules, rules_of
from clm_ingest.store.cursors import Place

SCHEMA: Final = "ingest"

_COLUMNS: Final = (
    "id, workspace, name, key_hint, created_at, disabled_at, previous_until, version, policy::text"
)
_BUMP: Final = "version = version + 1"

Owner = tuple[str, str | None]
"""A workspace and one of its sources; None is all that have no plan of their own."""

NO_PLANS: Final[Mapping[Owner, Plan]] = {}

Row = Any  # Any: asyncpg publishes no types; a record


class Source(Struct, frozen=True):
    """A place touchpoints come from, as people see it.

    Attributes:
        id: stands in the `ce_source` of its touchpoints.
        workspace: the workspace's key.
        name: what people call it; unique in its workspace.
        key_hint: the last four characters of its write key.
        created_at: when it was created.
        disabled_at: since when its keys are refused, if they are.
        previous_until: until when the key before the last rotation is taken, if there is one.
        version: changes with every change.
        policy: what may be sent with its keys.
    """

    id: UUID
    workspace: str
    name: str
    key_hint: str
    created_at: datetime
    disabled_at: datetime | None
    previous_until: datetime | None
    version: int
    policy: Policy


class Keys(Struct, frozen=True):
    """What admits a source's touchpoints.

    Attributes:
        source: the source's id.
        workspace: the workspace's key.
        digest: the SHA-256 of its write key.
        previous: the SHA-256 of the key before, if there is one.
        previous_until: until when that one is taken.
        disabled: neither is taken.
        rules: what its requests are held against; None where everything may pass.
        hooks: where other systems send their webhooks to, as this source.
    """

    source: str
    workspace: str
    digest: bytes
    previous: bytes | None
    previous_until: datetime | None
    disabled: bool
    rules: Rules | None = None
    hooks: Sequence[HookKeys] = ()


class Sources:
    """The table of sources."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._rules: dict[str, tuple[str, Rules | None]] = {}

    async def create(
        self, workspace: str, name: str, digest: bytes, hint: str, *, policy: Policy = DEFAULT
    ) -> Source:
        """Create a source with its first key.

        Raises:
            Rejected: 409 if the workspace has a source of this name.
        """
        query = f"""
            INSERT INTO source (workspace, name, key_hash, key_hint, policy)
            VALUES ($1, $2, $3, $4, $5::jsonb) RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        try:
            async with self._db.transaction() as tx:
                values = (workspace, name, digest, hint, _document(policy))
                return _source(await tx.fetchrow(query, *values))
        except asyncpg.UniqueViolationError:
            raise _exists(name) from None

    async def list(self, workspace: str, *, after: Place, limit: int) -> Sequence[Source]:
        """Give up to `limit` of a workspace's sources, oldest first."""
        query = f"""
            SELECT {_COLUMNS} FROM source WHERE workspace = $1 AND (created_at, id) > ($2, $3)
            ORDER BY created_at, id LIMIT $4
        """  # noqa: S608 - a constant list of columns
        async with self._db.connection() as raw:
            rows = await raw.fetch(query, workspace, after.at, after.id, limit)
            return [_source(row) for row in rows]

    async def get(self, workspace: str, source: UUID) -> Source:
        """Give a source.

        Raises:
            Rejected: 404 if the workspace has no such source.
        """
        query = f"SELECT {_COLUMNS} FROM source WHERE workspace = $1 AND id = $2"  # noqa: S608 - a constant list of columns
        async with self._db.connection() as raw:
            return _source(_found(await raw.fetchrow(query, workspace, source), source))

    async def update(
        self,
        workspace: str,
        source: UUID,
        *,
        name: str | None,
        policy: Policy | None,
        versions: frozenset[int] | None,
    ) -> Source:
        """Change what is not None.

        Args:
            workspace: the workspace's key.
            source: the source's id.
            name: what people call it from now on.
            policy: what may be sent with its keys from now on.
            versions: the versions that may be changed; None changes whichever there is.

        Raises:
            Rejected: 404 if the workspace has no such source, 409 if the name is taken, 412 if the
                source has another version.
        """
        query = f"""
            UPDATE source SET name = coalesce($3, name),
                policy = CASE WHEN $5 THEN $4::jsonb ELSE policy END, {_BUMP}
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        document = None if policy is None else _document(policy)
        try:
            async with self._db.transaction() as tx:
                await _check_version(tx, workspace, source, versions)
                values = (name, document, policy is not None)
                return _source(await tx.fetchrow(query, workspace, source, *values))
        except asyncpg.UniqueViolationError:
            raise _exists(str(name)) from None

    async def rotate(
        self, workspace: str, source: UUID, digest: bytes, hint: str, *, grace: float
    ) -> Source:
        """Give a source a new key; the present one is taken for `grace` seconds more.

        Raises:
            Rejected: 404 if the workspace has no such source.
        """
        query = f"""
            UPDATE source SET key_hash = $3, key_hint = $4, {_BUMP},
                previous_hash = key_hash, previous_until = now() + make_interval(secs => $5)
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, source, digest, hint, grace)

    async def disable(self, workspace: str, source: UUID) -> Source:
        """Refuse a source's keys from now on; done twice it stays as it was.

        Raises:
            Rejected: 404 if the workspace has no such source.
        """
        query = f"""
            UPDATE source SET disabled_at = coalesce(disabled_at, now()), {_BUMP}
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, source)

    async def enable(self, workspace: str, source: UUID) -> Source:
        """Take a source's keys again.

        Raises:
            Rejected: 404 if the workspace has no such source.
        """
        query = f"""
            UPDATE source SET disabled_at = NULL, {_BUMP}
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, source)

    async def keys(self, plans: Mapping[Owner, Plan] = NO_PLANS) -> Sequence[Keys]:
        """Give the keys of every source of every workspace.

        Args:
            plans: the tracking plans, by whose they are.
        """
        query = """
            SELECT id::text, workspace, key_hash, previous_hash, previous_until,
                disabled_at IS NOT NULL, policy::text
            FROM source
        """
        async with self._db.connection() as raw:
            rows = await raw.fetch(query)
        self._rules = {source: self._ready(source, policy) for source, *_, policy in rows if policy}
        return [_keys(row, self._rules.get(row[0], _NONE)[1], plans) for row in rows]

    def _ready(self, source: str, policy: str) -> tuple[str, Rules | None]:
        """Make a policy ready, unless it is the one that was read before."""
        known = self._rules.get(source)
        return known if known and known[0] == policy else (policy, rules_of(_policy(policy)))

    async def _change(self, query: str, workspace: str, source: UUID, *values: object) -> Source:
        async with self._db.transaction() as tx:
            return _source(_found(await tx.fetchrow(query, workspace, source, *values), source))


_NONE: Final[tuple[str, None]] = ("", None)


async def _check_version(
    tx: Connection, workspace: str, source: UUID, versions: frozenset[int] | None
) -> None:
    query = "SELECT version FROM source WHERE workspace = $1 AND id = $2 FOR UPDATE"
    present: int = _found(await tx.fetchval(query, workspace, source), source)
    if versions is not None and present not in versions:
        detail = "the source has changed since it was read; read it again and repeat the change"
        raise Rejected(412, "source.changed", detail, id=str(source))


def _source(row: Row) -> Source:
    values: Row = (*row[:-1], _policy(row[-1]))
    return Source(*values)


def _keys(row: Row, rules: Rules | None, plans: Mapping[Owner, Plan]) -> Keys:
    source, workspace = row[:2]
    plan = plans.get((workspace, source)) or plans.get((workspace, None))
    if plan is not None:
        rules = msgspec.structs.replace(rules or Rules(), plan=plan)
    values: Row = (*row[:-1], rules)
    return Keys(*values)


def _policy(text: str | None) -> Policy:
    """Read a stored policy; what a newer version of ingest knows more is passed over."""
    return DEFAULT if text is None else Policy.model_validate_json(text, extra="ignore")


def _document(policy: Policy) -> str | None:
    """Write a policy; None where it asks for nothing."""
    return None if policy == DEFAULT else policy.model_dump_json()


def _found(row: Row, source: UUID) -> Row:
    if row is None:
        raise Rejected(404, "source.unknown", f"there is no source {source}", id=str(source))
    return row


def _exists(name: str) -> Rejected:
    detail = f"there is a source named {name!r} already; choose another name"
    return Rejected(409, "source.exists", detail, name=name)
