"""The hooks that other systems send their webhooks to, and the secrets of their signatures.

Secrets are kept encrypted (see `clm_common.store.vault`): a signature can be checked by no hash
of them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.store.database import Database
from clm_common.store.vault import Vault
from clm_ingest.core.inbound import HookKeys
from clm_ingest.core.signatures import Scheme
from clm_ingest.store.cursors import Place

Row = Any  # Any: asyncpg publishes no types; a record

PURPOSE: Final = b"clm.ingest.hook-secret"
"""Of the vault that keeps their secrets."""

_COLUMNS: Final = (
    "id, workspace, name, source, mapping, scheme, window_seconds, secret IS NOT NULL, "
    "created_at, disabled_at, previous_until, version"
)
_BUMP: Final = "version = version + 1"


class InboundHook(Struct, frozen=True):
    """A hook, as people see it.

    Attributes:
        id: stands in its address.
        workspace: the workspace's key.
        name: what people call it; unique in its workspace.
        source: the id of the source that its touchpoints come from.
        mapping: the key of the mapping that reads its bodies.
        scheme: how they are signed; None if the source's write key is sent along.
        window_seconds: by which the time of a signature may differ from ours.
        has_secret: signatures can be checked.
        created_at: when it was created.
        disabled_at: since when nothing is taken, if so.
        previous_until: until when the secret before the last rotation is taken.
        version: changes with every change.
    """

    id: UUID
    workspace: str
    name: str
    source: UUID
    mapping: str
    scheme: Scheme | None
    window_seconds: int
    has_secret: bool
    created_at: datetime
    disabled_at: datetime | None
    previous_until: datetime | None
    version: int


class NewHook(Struct, frozen=True):
    """A hook to be stored; see `InboundHook`."""

    id: UUID
    workspace: str
    name: str
    source: UUID
    mapping: str
    scheme: Scheme | None
    window_seconds: int
    secret: str | None


class Hooks:
    """The table of hooks."""

    def __init__(self, db: Database, vault: Vault) -> None:
        """Make it.

        Args:
            db: ingest's.
            vault: encrypts the secrets.
        """
        self._db = db
        self._vault = vault
        self._opened: dict[tuple[UUID, bytes], str | None] = {}

    async def create(self, new: NewHook) -> InboundHook:
        """Store a hook.

        Raises:
            Rejected: 409 if the workspace has a hook of this name or there is no key for secrets,
                422 if it has no such source.
        """
        query = f"""
            INSERT INTO hook (id, workspace, name, source, mapping, scheme, window_seconds, secret)
            SELECT $1, $2, $3, source.id, $5, $6, $7, $8 FROM source
            WHERE source.id = $4 AND source.workspace = $2
            RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        sealed = None if new.secret is None else self._vault.seal(new.secret, new.id)
        values = (new.id, new.workspace, new.name, new.source, new.mapping, new.scheme)
        try:
            async with self._db.transaction() as tx:
                row = await tx.fetchrow(query, *values, new.window_seconds, sealed)
        except asyncpg.UniqueViolationError:
            detail = f"there is a hook named {new.name!r} already; choose another name"
            raise Rejected(409, "hook.exists", detail, name=new.name) from None
        if row is None:
            detail = f"there is no source {new.source} in this workspace"
            raise Rejected(422, "source.unknown", detail, id=str(new.source))
        return InboundHook(*row)

    async def list(self, workspace: str, *, after: Place, limit: int) -> Sequence[InboundHook]:
        """Give up to `limit` of a workspace's hooks, oldest first."""
        query = f"""
            SELECT {_COLUMNS} FROM hook WHERE workspace = $1 AND (created_at, id) > ($2, $3)
            ORDER BY created_at, id LIMIT $4
        """  # noqa: S608 - a constant list of columns
        async with self._db.connection() as raw:
            rows = await raw.fetch(query, workspace, after.at, after.id, limit)
            return [InboundHook(*row) for row in rows]

    async def get(self, workspace: str, hook: UUID) -> InboundHook:
        """Give a hook.

        Raises:
            Rejected: 404 if the workspace has no such hook.
        """
        query = f"SELECT {_COLUMNS} FROM hook WHERE workspace = $1 AND id = $2"  # noqa: S608 - a constant list of columns
        async with self._db.connection() as raw:
            return _hook(await raw.fetchrow(query, workspace, hook), hook)

    async def rotate(self, workspace: str, hook: UUID, secret: str, *, grace: float) -> InboundHook:
        """Give a hook a new secret; the present one is taken for `grace` seconds more.

        Raises:
            Rejected: 404 if the workspace has no such hook, 409 if there is no key for secrets.
        """
        query = f"""
            UPDATE hook SET secret = $3, previous_secret = secret, {_BUMP},
                previous_until = CASE WHEN secret IS NOT NULL
                    THEN now() + make_interval(secs => $4) END
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, hook, self._vault.seal(secret, hook), grace)

    async def disable(self, workspace: str, hook: UUID) -> InboundHook:
        """Take nothing from now on; done twice it stays as it was.

        Raises:
            Rejected: 404 if the workspace has no such hook.
        """
        query = f"""
            UPDATE hook SET disabled_at = coalesce(disabled_at, now()), {_BUMP}
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, hook)

    async def enable(self, workspace: str, hook: UUID) -> InboundHook:
        """Take what is sent again.

        Raises:
            Rejected: 404 if the workspace has no such hook.
        """
        query = f"""
            UPDATE hook SET disabled_at = NULL, {_BUMP}
            WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
        """  # noqa: S608 - a constant list of columns
        return await self._change(query, workspace, hook)

    async def keys(self) -> Sequence[HookKeys]:
        """Give what admits the bodies of every hook of every workspace.

        A secret is decrypted when it is seen first, and then remembered.
        """
        query = """
            SELECT id, workspace, source::text, mapping, scheme, window_seconds,
                disabled_at IS NOT NULL, secret, previous_secret, previous_until
            FROM hook
        """
        async with self._db.connection() as raw:
            rows = await raw.fetch(query)
        known, self._opened = self._opened, {}
        return [self._keys(row, known) for row in rows]

    def _keys(self, row: Row, known: dict[tuple[UUID, bytes], str | None]) -> HookKeys:
        hook, workspace, source, mapping, scheme, window, disabled, secret, previous, until = row
        opened = self._open(hook, secret, known)
        return HookKeys(
            str(hook),
            workspace,
            source,
            mapping,
            scheme,
            window,
            disabled,
            sealed=secret is not None and opened is None,
            secret=opened,
            previous=self._open(hook, previous, known),
            previous_until=until,
        )

    def _open(
        self, hook: UUID, sealed: bytes | None, known: dict[tuple[UUID, bytes], str | None]
    ) -> str | None:
        if sealed is None:
            return None
        place = hook, sealed
        found = known[place] if place in known else self._vault.open(sealed, hook)
        self._opened[place] = found
        return found

    async def _change(self, query: str, workspace: str, hook: UUID, *values: object) -> InboundHook:
        async with self._db.transaction() as tx:
            return _hook(await tx.fetchrow(query, workspace, hook, *values), hook)


def _hook(row: Row, hook: UUID) -> InboundHook:
    if row is None:
        raise Rejected(404, "hook.unknown", f"there is no hook {hook}", id=str(hook))
    return InboundHook(*row)
