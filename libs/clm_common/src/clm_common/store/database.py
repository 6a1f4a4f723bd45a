"""A service's schema in PostgreSQL: pooled connections, transactions, and our names for its errors.

What is lent out is a connection of asyncpg's pool, for `COPY`, `unnest` and statements at the
driver's speed: the one that came back last; one that died while it lay there is replaced. Columns
of JSON are written as text and read as values.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import asyncpg
from pydantic import SecretStr

from clm_common.errors import SettingsError, Unavailable
from clm_common.settings import ServiceSettings
from clm_common.store.faults import translate, translated

Connection = Any  # Any: asyncpg publishes no types
Pool = Any  # Any: likewise

OLDEST: Final = 17
"""The oldest PostgreSQL we run on: `transaction_timeout` came with it."""

_CONNECT: Final = 5
_TAKE: Final = 5.0
_CLOSE: Final = 2.0
_KEEPALIVE: Final = {
    "TCP_KEEPIDLE": 5,  # seconds
    "TCP_KEEPINTVL": 2,  # seconds
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 10_000,  # milliseconds
}
_LIMITS: Final = """
    SELECT current_setting('transaction_timeout'),
        current_setting('idle_in_transaction_session_timeout')
"""
_LIMIT: Final = """
    SELECT set_config('transaction_timeout', $1, true),
        set_config('idle_in_transaction_session_timeout', $2, true)
"""
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class Database:
    """The pool of one process for one schema; open it with `async with`.

    Opening connects to nothing: the first use does, so that a process may start before PostgreSQL.
    """

    def __init__(
        self,
        url: str | SecretStr,
        *,
        schema: str,
        name: str = "clm",
        seconds: float = 4.0,
        size: int = 12,
    ) -> None:
        """Make a pool.

        Args:
            url: a PostgreSQL URL as libpq knows it (`postgresql://user:password@host/db?…`).
            schema: the service's schema; unqualified names are looked up there and nowhere else.
            name: stands in `pg_stat_activity`: the worker's id, by which a successor ends us.
            seconds: no transaction may last longer; PostgreSQL ends it then.
            size: connections at most.
        """
        if not _NAME.fullmatch(schema):
            raise ValueError(f"{schema!r} is no name for a schema")
        self._url = url.get_secret_value() if isinstance(url, SecretStr) else url
        self._schema = schema
        self._seconds = seconds
        self._server_settings = _server_settings(schema, name, seconds)
        self._size = size
        self._pool: Pool | None = None

    @classmethod
    def of(
        cls,
        settings: ServiceSettings,
        schema: str,
        *,
        size: int = 12,
        seconds: float | None = None,
    ) -> Self:
        """Make the pool that a service's settings describe.

        Args:
            settings: where PostgreSQL is and who we are.
            schema: the service's schema.
            size: connections at most.
            seconds: the longest transaction; by default as long as a lease.
        """
        return cls(
            settings.database_url,
            schema=schema,
            name=settings.worker_id,
            seconds=seconds or settings.lease_seconds,
            size=size,
        )

    @property
    def schema(self) -> str:
        """The service's schema."""
        return self._schema

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """Lend an asyncpg connection inside a transaction; commits at the end of the block.

        Raises:
            Unavailable: PostgreSQL is away; whether a commit that failed so took place is unknown.
            RaceLost: a serialization failure or a deadlock; nothing was written.
        """
        async with self._inside(isolation="read_committed") as raw:
            yield raw

    @asynccontextmanager
    async def snapshot(self) -> AsyncGenerator[Connection]:
        """Lend an asyncpg connection whose statements only read, all of them at one instant.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self._inside(isolation="repeatable_read", readonly=True) as raw:
            yield raw

    @asynccontextmanager
    async def _inside(
        self, *, isolation: str, readonly: bool = False
    ) -> AsyncGenerator[Connection]:
        async with self.connection() as raw:
            block = raw.transaction(isolation=isolation, readonly=readonly)
            await block.start()
            try:
                yield raw
            except BaseException:
                await _roll_back(raw, block)
                raise
            await block.commit()

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """Lend an asyncpg connection outside of a transaction; each statement is its own.

        One that came to grief (dead, stuck in a transaction, silent) does not return to the pool.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        with translated():
            pool = await self._opened()
            raw = await _take(pool)
            try:
                yield raw
            except BaseException as error:
                if _is_broken(raw, error):
                    _end(raw)
                raise
            finally:
                await pool.release(raw)

    async def ping(self) -> None:
        """Return if PostgreSQL answers now; raises `Unavailable` otherwise."""
        async with self.connection() as raw:
            await raw.fetchval("SELECT 1", timeout=2)

    async def __aenter__(self) -> Self:
        """Return itself; nothing is connected yet."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection; what is still lent out is ended."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE):
                await pool.close()
        except TimeoutError:
            pool.terminate()

    async def _opened(self) -> Pool:
        """Give the pool; it opens connections when they are needed and keeps them."""
        if self._pool is None:
            self._pool = asyncpg.create_pool(
                min_size=0,
                max_size=self._size,
                max_queries=sys.maxsize,
                max_inactive_connection_lifetime=0,
                connect=self._for_pool,
                reset=_as_it_is,
            )
            await self._pool
        return self._pool

    async def _for_pool(self, *_: object, **__: object) -> Connection:
        """Open a connection, whatever the pool would open by itself."""
        return await self.connect()

    async def connect(self) -> Connection:
        """Open a connection as the pool's are; it is the caller's, who closes it.

        Raises:
            SettingsError: PostgreSQL is older than we run on.
        """
        try:
            raw = await asyncpg.connect(
                self._url,
                timeout=_CONNECT,
                command_timeout=2 * self._seconds,
                server_settings=self._server_settings,
            )
        except asyncpg.UndefinedObjectError as error:
            raise SettingsError(
                "database.too_old", f"CLM_DATABASE_URL: PostgreSQL {OLDEST} or newer is needed"
            ) from error
        _keep_alive(raw)
        try:
            await _read_json(raw)
        except BaseException:
            raw.terminate()
            raise
        return raw


@asynccontextmanager
async def unhurried(tx: Connection) -> AsyncGenerator[None]:
    """Do without the limits of a transaction that holds no lock yet; afterwards they begin anew.

    What has to be read and decided may take longer than others may be kept waiting for a lock.
    """
    before = await tx.fetchrow(_LIMITS)
    await tx.execute(_LIMIT, "0", "0")
    yield
    await tx.execute(_LIMIT, *before)


async def _read_json(raw: Connection) -> None:
    """Have the driver give JSON as values: left alone it gives the text."""
    for kind, version in ("json", b""), ("jsonb", b"\x01"):
        await raw.set_type_codec(
            kind,
            schema="pg_catalog",
            format="binary",
            encoder=partial(_stored, version),
            decoder=partial(_value, version),
        )


def _stored(version: bytes, text: str) -> bytes:
    return version + text.encode()


def _value(version: bytes, stored: bytes) -> object:
    return json.loads(stored[len(version) :])


def _server_settings(schema: str, name: str, seconds: float) -> dict[str, str]:
    """Give what PostgreSQL is told at the start of every session."""
    limit = f"{round(seconds * 1000)}ms"
    return {
        "application_name": name,
        "search_path": schema,
        "timezone": "UTC",
        "jit": "off",
        "client_min_messages": "warning",
        "transaction_timeout": limit,
        "idle_in_transaction_session_timeout": limit,
        "lock_timeout": limit,
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
    }


async def _take(pool: Pool) -> Connection:
    try:
        return await pool.acquire(timeout=_TAKE)
    except TimeoutError:
        if pool.get_size() < pool.get_max_size():
            raise
        raise Unavailable(
            "database.pool_exhausted", "all connections to PostgreSQL are in use"
        ) from None


async def _as_it_is(raw: Connection) -> None:
    """Leave a connection that comes back as it is: nothing of ours outlives a transaction in it."""


def _is_broken(raw: Connection, error: BaseException) -> bool:
    """Tell whether a connection must not be lent again."""
    return _is_gone(raw) or raw.is_in_transaction() or isinstance(translate(error), Unavailable)


def _is_gone(raw: Connection) -> bool:
    """Tell whether a connection is closed; of one that died in use the pool has let go already."""
    try:
        return bool(raw.is_closed())
    except asyncpg.InterfaceError:
        return True


def _end(raw: Connection) -> None:
    """End a connection at once, if it has not ended."""
    with suppress(asyncpg.InterfaceError):
        raw.terminate()


async def _roll_back(raw: Connection, block: Any) -> None:  # Any: asyncpg's transaction
    """Roll back; where that fails the session ends, and the error that led here stays in sight."""
    try:
        if not _is_gone(raw):
            await block.rollback()
    except Exception:  # noqa: BLE001 - whatever the driver says, the session ends
        _end(raw)


def _keep_alive(raw: Connection) -> None:
    """Notice a peer that vanished without a word within some ten seconds."""
    link = raw._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no option for it
    if link is None or link.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
