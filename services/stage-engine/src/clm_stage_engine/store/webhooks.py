"""A workspace's webhooks: where stage changes are delivered to, and the secrets that sign them.

Secrets are kept encrypted (see `clm_common.store.vault`) and leave this module only to sign.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4

import asyncpg
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection
from clm_common.store.vault import Vault
from clm_stage_engine.core.outgoing import Filter
from clm_stage_engine.cursor import Cursor, Page, cut

Row = Any  # Any: asyncpg publishes no types; a record

PURPOSE: Final = b"clm.stage-engine.webhook-secret"
"""Of the vault that keeps the secrets."""

Disabled = Literal["by_hand", "gone"]

MOST: Final = 50
"""Webhooks of one workspace."""

_KEEP_TO: Final = """
    UPDATE webhook SET filter = (filter::jsonb || jsonb_build_object('lifecycle', $1::text))::text
    WHERE filter::jsonb ?| ARRAY['sources', 'targets'] AND NOT filter::jsonb ? 'lifecycle'
"""
_COLUMNS: Final = "number, id, workspace, name, url, filter, previous_until, disabled, created_at"

_ADD: Final = f"""
    INSERT INTO webhook (id, workspace, name, url, filter, secret)
    SELECT $1, $2, $3, $4, $5, $6
    WHERE (SELECT count(*) FROM webhook WHERE workspace = $2) < {MOST}
    RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_BEGIN: Final = """
    INSERT INTO webhook_position (webhook_id, partition, seq)
    SELECT $1, part, coalesce(next_seq - 1, 0) FROM generate_series(0, $3 - 1) AS part
    LEFT JOIN consumer_partition ON topic = $2 AND partition = part
"""
_PAGE: Final = f"""
    SELECT {_COLUMNS} FROM webhook WHERE workspace = $1 AND number > $2 ORDER BY number LIMIT $3
"""  # noqa: S608 - constants
_ONE: Final = f"SELECT {_COLUMNS} FROM webhook WHERE workspace = $1 AND id = $2"  # noqa: S608 - constants
_CHANGE: Final = f"""
    UPDATE webhook SET name = coalesce($3, name), url = coalesce($4, url),
        filter = coalesce($5, filter), disabled = CASE WHEN $6 THEN $7 ELSE disabled END
    WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_ROTATE: Final = f"""
    UPDATE webhook SET secret = $3, previous_secret = secret, previous_until = now() + $4
    WHERE workspace = $1 AND id = $2 RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
_LOCK: Final = "SELECT FROM webhook_position WHERE webhook_id = $1 FOR UPDATE"
"""As planning does: the place first, then the webhook."""
_REMOVE: Final = "DELETE FROM webhook WHERE workspace = $1 AND id = $2 RETURNING id"
_SECRETS: Final = """
    SELECT secret, CASE WHEN previous_until > now() THEN previous_secret END AS previous
    FROM webhook WHERE id = $1
"""


class Webhook(Struct, frozen=True):
    """A subscription.

    Attributes:
        number: its place among all.
        id: names it.
        workspace: whose stage changes.
        name: what people call it; unique in its workspace.
        url: where it delivers to.
        filter: what it takes.
        previous_until: until when the secret before the last rotation signs, too.
        disabled: why nothing is delivered; None where it is.
        created_at: since when there is one.
    """

    number: int
    id: UUID
    workspace: str
    name: str
    url: str
    filter: Filter
    previous_until: datetime | None
    disabled: Disabled | None
    created_at: datetime


class Change(Struct, frozen=True):
    """What of a webhook is to be changed; None leaves a thing as it is."""

    name: str | None = None
    url: str | None = None
    filter: Filter | None = None
    disabled: Disabled | UnsetType | None = UNSET


class _Place(Struct, array_like=True, frozen=True):
    number: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_cursor: Final = Cursor(_Place)


class Webhooks:
    """The table of webhooks, for those who hold the key of its secrets."""

    def __init__(self, vault: Vault) -> None:
        """Make it with the vault that keeps the secrets."""
        self._vault = vault

    async def add(self, tx: Connection, workspace: str, wanted: Change, secret: str) -> Webhook:
        """Keep a webhook, which begins with what is committed from now on.

        Raises:
            Rejected: 409; the name is taken, there are too many, or there is no key for secrets.
        """
        name, made = wanted.name, uuid4()
        values = name, wanted.url, _written(wanted.filter or Filter())
        row = await self._named(
            tx, _ADD, made, workspace, *values, self._vault.seal(secret, made), name=name
        )
        if row is None:
            raise Rejected(409, "webhook.too_many", f"a workspace has {MOST} webhooks at most")
        await tx.execute(_BEGIN, made, TOUCHPOINTS.name, TOUCHPOINTS.partitions)
        return _read(row)

    async def change(
        self, tx: Connection, workspace: str, webhook: UUID, wanted: Change
    ) -> Webhook:
        """Change a webhook.

        Raises:
            Rejected: 404 if there is none, 409 if the name is taken.
        """
        disabling = wanted.disabled is not UNSET
        row = await self._named(
            tx,
            _CHANGE,
            workspace,
            webhook,
            wanted.name,
            wanted.url,
            None if wanted.filter is None else _written(wanted.filter),
            disabling,
            wanted.disabled if disabling else None,
            name=wanted.name,
        )
        return _found(row, webhook)

    async def rotate(
        self, tx: Connection, workspace: str, webhook: UUID, secret: str, grace: int
    ) -> Webhook:
        """Sign with a new secret; for `grace` seconds with the present one, too.

        Raises:
            Rejected: 404 if there is none, 409 if there is no key for secrets.
        """
        sealed = self._vault.seal(secret, webhook)
        return _found(
            await tx.fetchrow(_ROTATE, workspace, webhook, sealed, timedelta(seconds=grace)),
            webhook,
        )

    async def secrets(self, db: Connection, webhook: UUID) -> list[str]:
        """Give what signs a webhook's deliveries now; empty where it cannot be read."""
        row = await db.fetchrow(_SECRETS, webhook)
        sealed = [] if row is None else [it for it in row if it is not None]
        opened = [self._vault.open(it, webhook) for it in sealed]
        return [it for it in opened if it is not None]

    async def _named(
        self, tx: Connection, statement: str, *values: object, name: str | None
    ) -> Row:
        try:
            return await tx.fetchrow(statement, *values)
        except asyncpg.UniqueViolationError:
            detail = f"there is a webhook named {name!r} already; choose another name"
            raise Rejected(409, "webhook.exists", detail, name=name) from None


async def page(db: Connection, workspace: str, wanted: Page) -> tuple[list[Webhook], str | None]:
    """Give some of a workspace's webhooks, oldest first, and the next page's cursor."""
    start = _cursor.read(wanted.cursor) or _Place(0)
    rows = await db.fetch(_PAGE, workspace, start.number, wanted.limit + 1)
    shown, last = cut(rows, wanted.limit)
    return [_read(it) for it in shown], last and _cursor.write(_Place(last["number"]))


async def get(db: Connection, workspace: str, webhook: UUID) -> Webhook:
    """Give one webhook.

    Raises:
        Rejected: 404; there is none.
    """
    return _found(await db.fetchrow(_ONE, workspace, webhook), webhook)


async def remove(tx: Connection, workspace: str, webhook: UUID) -> None:
    """Forget a webhook and its deliveries.

    Raises:
        Rejected: 404; there is none.
    """
    await tx.execute(_LOCK, webhook)
    if await tx.fetchrow(_REMOVE, workspace, webhook) is None:
        raise _unknown(webhook)


async def keep_to(tx: Connection, main: str) -> None:
    """Let webhooks that name stages and no lifecycle, as older ones do, take those of the main one.

    Another lifecycle may have stages of the same names.
    """
    await tx.execute(_KEEP_TO, main)


def _written(filter_: Filter) -> str:
    return msgspec.json.encode(filter_).decode()


def read_filter(text: str) -> Filter:
    """Read a filter as it is stored."""
    return msgspec.json.decode(text, type=Filter)


def _read(row: Row) -> Webhook:
    fields: dict[str, Any] = dict(row)  # Any: columns
    fields["filter"] = read_filter(row["filter"])
    return Webhook(**fields)


def _found(row: Row, webhook: UUID) -> Webhook:
    if row is None:
        raise _unknown(webhook)
    return _read(row)


def _unknown(webhook: UUID) -> Rejected:
    return Rejected(404, "webhook.unknown", f"there is no webhook {webhook} in this workspace")
