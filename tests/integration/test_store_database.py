"""The pool on a real PostgreSQL: transactions, our names for errors, and recovery by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from clm_common.errors import RaceLost, Unavailable
from clm_common.store import database
from clm_common.store.database import Database, unhurried

SCHEMA = "shop"


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    async with Database(database_url, schema=SCHEMA, name="ann", size=3) as db:
        async with db.connection() as raw:
            await raw.execute(f"CREATE SCHEMA {SCHEMA}")
            await raw.execute("CREATE TABLE visit (id integer PRIMARY KEY, seen integer DEFAULT 0)")
            await raw.execute("INSERT INTO visit (id) VALUES (1), (2)")
        yield db


async def count(db: Database) -> int:
    async with db.connection() as raw:
        found: int = await raw.fetchval("SELECT count(*) FROM visit")
    return found


async def session_of(db: Database) -> int:
    async with db.connection() as raw:
        pid: int = await raw.fetchval("SELECT pg_backend_pid()")
    return pid


async def terminate(url: str, name: str) -> None:
    """End every session of this name, as a successor does."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
            " WHERE application_name = $1",
            name,
        )
    finally:
        await connection.close()


async def test_a_transaction_commits_at_the_end_of_its_block(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO visit (id) VALUES (3)")

    assert await count(db) == 3


async def test_the_connection_that_came_back_last_is_lent_first(db: Database) -> None:
    async with db.connection():
        second = await session_of(db)
        third = await session_of(db)

    assert third == second


async def test_who_waits_in_vain_for_a_connection_is_told_that_all_are_lent(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TAKE", 0.05)
    async with db.connection(), db.connection(), db.connection():
        with pytest.raises(Unavailable, match="in use"):
            await db.ping()

    await db.ping()


async def test_what_is_lent_out_when_the_pool_closes_is_ended(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_CLOSE", 0.05)
    db = Database(database_url, schema="public")

    async def close_amid() -> None:
        async with db.connection() as raw:
            await db.__aexit__(None, None, None)
            await raw.fetchval("SELECT 1")

    with pytest.raises(Unavailable):
        await close_amid()


@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_is_written_as_text_and_read_as_values(db: Database, kind: str) -> None:
    async with db.connection() as raw:
        found = await raw.fetchval(f"SELECT $1::{kind}", '{"seen": [1, null, "größer"]}')

    assert found == {"seen": [1, None, "größer"]}


async def test_an_error_rolls_a_transaction_back_and_comes_out_as_it_was(db: Database) -> None:
    with pytest.raises(LookupError):
        await insert_and_fail(db)

    assert await count(db) == 2


async def insert_and_fail(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO visit (id) VALUES (3)")
        raise LookupError


async def test_a_session_is_as_our_statements_expect_it(db: Database) -> None:
    async with db.connection() as raw:
        found = {
            name: await raw.fetchval(f"SHOW {name}")
            for name in ("application_name", "search_path", "timezone", "jit")
        }
        limits = [
            await raw.fetchval(f"SHOW {name}")
            for name in ("transaction_timeout", "idle_in_transaction_session_timeout")
        ]

    assert found == {
        "application_name": "ann", "search_path": SCHEMA, "timezone": "UTC", "jit": "off",
    }  # fmt: skip
    assert limits == ["4s", "4s"]


async def test_a_session_that_died_in_the_pool_is_replaced_unseen(
    db: Database, database_url: str
) -> None:
    before = await session_of(db)
    await terminate(database_url, "ann")
    await asyncio.sleep(0.1)

    after = await session_of(db)

    assert after != before


async def test_a_session_that_dies_inside_a_transaction_is_unavailable_and_writes_nothing(
    db: Database, database_url: str
) -> None:
    with pytest.raises(Unavailable):
        await insert_but_die(db, database_url)

    assert await count(db) == 2


async def insert_but_die(db: Database, url: str) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO visit (id) VALUES (3)")
        await terminate(url, "ann")
        await tx.execute("INSERT INTO visit (id) VALUES (4)")


async def test_a_session_that_dies_while_a_copy_is_fed_is_unavailable(
    db: Database, database_url: str
) -> None:
    async def rows() -> AsyncGenerator[tuple[int, int]]:
        yield (3, 0)
        await terminate(database_url, "ann")
        await asyncio.sleep(0.1)
        yield (4, 0)

    with pytest.raises(Unavailable):
        await copy(db, rows())

    assert await count(db) == 2


async def copy(db: Database, rows: AsyncGenerator[tuple[int, int]]) -> None:
    async with db.transaction() as tx:
        await tx.copy_records_to_table("visit", records=rows)


async def test_an_error_in_the_block_is_not_hidden_by_the_death_of_its_session(
    db: Database, database_url: str
) -> None:
    with pytest.raises(LookupError):
        await die_and_fail(db, database_url)


async def die_and_fail(db: Database, url: str) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO visit (id) VALUES (3)")
        await terminate(url, "ann")
        raise LookupError


async def test_a_cancelled_transaction_leaves_nothing_behind(db: Database) -> None:
    async def dawdle() -> None:
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO visit (id) VALUES (3)")
            await tx.execute("SELECT pg_sleep(3)")

    task = asyncio.create_task(dawdle())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await count(db) == 2
    async with db.connection() as raw:
        assert not raw.is_in_transaction()


async def test_two_that_wait_for_each_other_lose_a_race(db: Database) -> None:
    async def touch(first: int, second: int) -> None:
        async with db.transaction() as tx:
            await tx.execute("UPDATE visit SET seen = seen + 1 WHERE id = $1", first)
            await asyncio.sleep(0.3)
            await tx.execute("UPDATE visit SET seen = seen + 1 WHERE id = $1", second)

    outcomes = await asyncio.gather(touch(1, 2), touch(2, 1), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "RaceLost"]


async def test_a_snapshot_is_of_one_instant_whatever_is_committed_meanwhile(db: Database) -> None:
    async with db.snapshot() as tx:
        before = await tx.fetch("SELECT * FROM visit ORDER BY id")
        async with db.transaction() as other:
            await other.execute("UPDATE visit SET seen = seen + 1")
        meanwhile = await tx.fetch("SELECT * FROM visit ORDER BY id")
    async with db.snapshot() as tx:
        afterwards = await tx.fetch("SELECT * FROM visit ORDER BY id")

    assert meanwhile == before
    assert afterwards != before


async def test_a_serialization_failure_is_a_lost_race(db: Database) -> None:
    with pytest.raises(RaceLost):
        await be_overtaken(db)


async def be_overtaken(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await tx.fetch("SELECT * FROM visit")
        async with db.connection() as other:
            await other.execute("UPDATE visit SET seen = 9 WHERE id = 1")
        await tx.execute("UPDATE visit SET seen = 1 WHERE id = 1")


async def test_a_defect_of_ours_keeps_its_name(db: Database) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        async with db.transaction() as tx:
            await tx.execute("INSERT INTO visit (id) VALUES (1)")


async def test_a_transaction_that_takes_too_long_is_ended(database_url: str) -> None:
    async with Database(database_url, schema="public", seconds=0.5) as db:
        with pytest.raises(Unavailable):
            await idle_in_transaction(db, 1.0)

        await db.ping()


async def idle_in_transaction(db: Database, seconds: float) -> None:
    async with db.transaction() as tx:
        await asyncio.sleep(seconds)
        await tx.fetchval("SELECT 1")


async def test_before_its_first_lock_a_transaction_may_be_given_time_after_which_limits_begin_anew(
    database_url: str,
) -> None:
    async with Database(database_url, schema="public", seconds=0.5) as db:
        async with db.transaction() as tx:
            async with unhurried(tx):
                await asyncio.sleep(0.8)
                await tx.fetchval("SELECT pg_sleep(0.8)")
            await asyncio.sleep(0.2)
            assert await tx.fetchval("SELECT 1") == 1

        with pytest.raises(Unavailable):
            await dawdle_after_all(db)


async def dawdle_after_all(db: Database) -> None:
    async with db.transaction() as tx:
        async with unhurried(tx):
            await asyncio.sleep(0.1)
        await tx.fetchval("SELECT pg_sleep(2)")


async def test_nobody_waits_for_a_lock_for_ever(db: Database, database_url: str) -> None:
    async with (
        Database(database_url, schema=SCHEMA, seconds=0.5) as hasty,
        db.transaction() as holder,
    ):
        await holder.execute("UPDATE visit SET seen = 1 WHERE id = 1")

        with pytest.raises(Unavailable):
            await set_seen(hasty)


async def set_seen(db: Database) -> None:
    async with db.connection() as raw:
        await raw.execute("UPDATE visit SET seen = 2 WHERE id = 1")


async def test_a_statement_whose_plan_a_migration_outdated_can_be_tried_again(
    db: Database, database_url: str
) -> None:
    async with db.transaction() as tx:
        await tx.fetch("SELECT * FROM visit")
        migration = await asyncpg.connect(database_url)
    try:
        await migration.execute(f"ALTER TABLE {SCHEMA}.visit ADD COLUMN note text")
    finally:
        await migration.close()

    with contextlib.suppress(Unavailable):
        await read_all(db)

    assert len((await read_all(db))[0]) == 3


async def read_all(db: Database) -> list[asyncpg.Record]:
    async with db.transaction() as tx:
        found: list[asyncpg.Record] = await tx.fetch("SELECT * FROM visit")
    return found


async def test_more_borrowers_than_connections_wait_their_turn(db: Database) -> None:
    async def borrow() -> int:
        async with db.transaction() as tx:
            found: int = await tx.fetchval("SELECT 1 FROM pg_sleep(0.05)")
        return found

    assert await asyncio.gather(*[borrow() for _ in range(12)]) == [1] * 12


def test_a_schema_is_a_plain_name() -> None:
    with pytest.raises(ValueError, match="no name for a schema"):
        Database("postgresql://x", schema='shop"; DROP')
