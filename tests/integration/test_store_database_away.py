"""The pool where PostgreSQL refuses, is away, dies or freezes: our names for it, and recovery."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import pytest

from clm_common.errors import SettingsError, Unavailable
from clm_common.store.database import Database
from tests.support.servers import DatabaseServer, PostgresNode

SCHEMA = "shop"


async def session_of(db: Database) -> int:
    async with db.connection() as raw:
        pid: int = await raw.fetchval("SELECT pg_backend_pid()")
    return pid


async def test_a_wrong_password_names_the_setting_and_hides_the_secret(database_url: str) -> None:
    parts = urlsplit(database_url)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"clm:sesame@{host}"))

    async with Database(url, schema=SCHEMA) as db:
        with pytest.raises(SettingsError, match="CLM_DATABASE_URL") as caught:
            await db.ping()

    assert "sesame" not in str(caught.value)


async def test_an_unknown_database_names_the_setting(database_server: DatabaseServer) -> None:
    async with Database(database_server.url("nowhere"), schema=SCHEMA) as db:
        with pytest.raises(SettingsError, match="nowhere"):
            await db.ping()


async def test_a_server_that_was_never_there_is_unavailable() -> None:
    async with Database("postgresql://clm:x@127.0.0.1:1/clm", schema=SCHEMA) as db:
        with pytest.raises(Unavailable):
            await db.ping()


async def test_too_many_connections_is_unavailable(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    url = node.server.admin_url
    async with contextlib.AsyncExitStack() as stack:
        with pytest.raises(Unavailable):
            await crowd_in(url, stack)


async def crowd_in(url: str, stack: contextlib.AsyncExitStack) -> None:
    while True:
        one = await stack.enter_async_context(Database(url, schema=SCHEMA, size=1))
        await stack.enter_async_context(one.connection())


async def test_the_pool_recovers_by_itself_after_a_crash_of_the_server(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    async with Database(node.server.admin_url, schema="public", size=4) as db:
        await asyncio.gather(*[db.ping() for _ in range(4)])

        node.kill()
        with pytest.raises(Unavailable):
            await db.ping()
        await node.start()

        began = time.monotonic()
        await asyncio.gather(*[db.ping() for _ in range(4)])
        assert time.monotonic() - began < 3


async def test_a_frozen_session_is_unavailable_before_long_and_replaced(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    async with Database(node.server.admin_url, schema="public", seconds=0.5) as db:
        pid = await session_of(db)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with pytest.raises(Unavailable):
                await db.ping()
            assert await session_of(db) != pid
            assert time.monotonic() - began < 5
        finally:
            os.kill(pid, signal.SIGCONT)
