"""PostgreSQL as a child process: it starts, keeps what was committed, and lets only us in."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from clm_local import child, paths, postgres
from clm_local.errors import LocalError
from clm_local.ports import free_ports
from tests.support.servers import (
    DatabaseServer,
    PostgresNode,
    local_paths,
    postgres_programs,
)

pytestmark = pytest.mark.timeout(120)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_what_was_committed_survives_kill_nine(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    url = await node.server.create()
    await execute(url, "CREATE TABLE kept (n int)", "INSERT INTO kept SELECT generate_series(1, 9)")

    node.kill()
    await node.start()

    assert await value(url, "SELECT sum(n) FROM kept") == 45


async def test_a_lock_file_whose_pid_is_somebody_else_by_now_keeps_nobody_out(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    node.kill()
    left = node.home / "postgres" / "data" / "postmaster.pid"
    somebody = await asyncio.create_subprocess_exec("/bin/sleep", "60", user=paths.server_user())

    try:
        left.write_text(f"{somebody.pid}\n" + left.read_text().partition("\n")[2])
        await node.start()
    finally:
        somebody.kill()
        await somebody.wait()

    assert await value(node.server.admin_url, "SELECT 1") == 1


async def test_the_durable_settings_are_durable_and_the_quick_ones_are_not(
    server_home: Path, postgres_node: Callable[[], PostgresNode]
) -> None:
    quick = postgres_node()
    await quick.start()
    (port,) = free_ports(1)
    process, server = await postgres.prepare(
        server_home / "durable",
        postgres_programs(),
        port=port,
        log_path=server_home / "durable.log",
    )
    durable = child.start(process)
    try:
        await durable.until_ready()

        assert await value(server.url(), "SHOW fsync") == "on"
        assert await value(server.url(), "SHOW synchronous_commit") == "on"
        assert await value(server.url(), "SHOW full_page_writes") == "on"
        assert await value(quick.server.admin_url, "SHOW fsync") == "off"
        assert await value(quick.server.admin_url, "SHOW synchronous_commit") == "on"
    finally:
        assert await durable.stop() == 0


async def test_nobody_enters_without_the_password(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    parts = urlsplit(node.server.admin_url)
    stranger = urlunsplit(parts._replace(netloc=f"clm:guess@{parts.hostname}:{parts.port}"))

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stranger)


async def test_password_and_data_are_for_the_servers_user_alone(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    owner = paths.server_user() if os.geteuid() == 0 else os.geteuid()

    password = (node.home / "postgres" / "password").stat()
    data = (node.home / "postgres" / "data").stat()

    assert (stat.S_IMODE(password.st_mode), password.st_uid) == (0o600, owner)
    assert (stat.S_IMODE(data.st_mode), data.st_uid) == (0o700, owner)


async def test_a_broken_off_initialisation_is_made_anew(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    half = node.home / "postgres" / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    await node.start()

    assert await value(node.server.admin_url, "SELECT 1") == 1


async def test_data_of_another_version_is_refused_with_advice(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    data = node.home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")

    with pytest.raises(LocalError) as refusal:
        await node.describe()

    assert refusal.value.slug == "postgres-version"
    assert "CLM_PG_BINDIR" in str(refusal.value)


def test_a_wrong_bindir_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as refusal:
        postgres.find(local_paths(), {"CLM_PG_BINDIR": str(tmp_path)})

    assert refusal.value.slug == "postgres-unusable"
    assert str(tmp_path) in str(refusal.value)


async def test_each_test_gets_an_empty_database_of_its_own(
    database_url: str, database_server: DatabaseServer
) -> None:
    other = await database_server.create()
    await execute(database_url, "CREATE TABLE mine (n int)")

    tables = await value(other, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'")
    await database_server.drop(other)

    assert tables == 0
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(other)


async def test_creating_a_database_twice_changes_nothing(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    server = postgres.Server(node.port, urlsplit(node.server.admin_url).password or "")
    url = await postgres.create_database(server, "clm")
    await execute(url, "CREATE TABLE kept (n int)")

    await postgres.create_database(server, "clm")

    assert await value(url, "SELECT count(*) FROM kept") == 0
