"""The history by month: rows from before move, months come in time, absurd times have a place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from clm_common.bus.memory import MemoryBroker
from clm_common.clock import ManualClock
from clm_common.instant import DAY, HOUR, from_datetime, to_datetime
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_stage_engine import housekeeping
from clm_stage_engine.core import months
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.store import SCHEMA
from clm_stage_engine.store.months import Months, existing
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

PACKAGE = "clm_stage_engine"


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with Database(database_url, schema=SCHEMA, name="test") as opened:
        yield opened


async def add(database: Database, *moments: datetime, body: bytes = b"{}") -> None:
    async with database.connection() as db:
        for seq, moment in enumerate(moments, 1):
            await db.execute(
                "INSERT INTO history (partition, seq, identity_id, profile_id, version, time,"
                " received_at, untimed, source, message_id, body) VALUES (0, $1,"
                " gen_random_uuid(), gen_random_uuid(), 1, $2, $2, false, 's', 'm', $3)",
                seq,
                moment,
                body,
            )


async def places(database: Database) -> dict[str, int]:
    async with database.connection() as db:
        rows = await db.fetch(
            "SELECT tableoid::regclass::text AS name, count(*) AS n FROM history GROUP BY 1"
        )
    return {row["name"]: row["n"] for row in rows}


async def test_rows_from_before_move_into_their_months_and_keep_what_they_say(
    database_url: str, database: Database
) -> None:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA, revision="0001")
    now = datetime.now(UTC)
    before = datetime(now.year - 1, 3, 31, 23, 59, 59, 999_999, UTC)
    after = datetime(now.year - 1, 4, 1, tzinfo=UTC)
    absurd = datetime(1970, 1, 1, tzinfo=UTC)
    await add(database, before, after, absurd, body=b'{"a":1}')

    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)

    assert await places(database) == {
        months.table(months.month_of(from_datetime(before))): 1,
        months.table(months.month_of(from_datetime(after))): 1,
        "history_default": 1,
    }
    async with database.connection() as db:
        rows = await db.fetch("SELECT * FROM history ORDER BY seq")
    assert [row["time"] for row in rows] == [before, after, absurd]
    assert [row["recorded_at"] for row in rows] == [before, after, absurd]
    assert {bytes(row["body"]) for row in rows} == {b'{"a":1}'}


@pytest.fixture
async def migrated(engine_url: str) -> AsyncGenerator[Database]:
    async with Database(engine_url, schema=SCHEMA, name="test") as opened:
        yield opened


async def test_months_ahead_are_made_and_making_them_again_changes_nothing(
    migrated: Database,
) -> None:
    clock = ManualClock(NOW)

    made = await Months(migrated, clock).prepare()
    again = await Months(migrated, clock).prepare()
    clock.set(NOW + 31 * DAY)
    later = await Months(migrated, clock).prepare()

    assert made == again == months.ahead(NOW)
    assert set(later) == {*months.ahead(NOW), *months.ahead(NOW + 31 * DAY)}


async def test_processes_that_make_months_at_once_get_the_same_ones(migrated: Database) -> None:
    clock = ManualClock(NOW)
    times = [NOW - n * 31 * DAY for n in range(6)]

    await asyncio.gather(*(Months(migrated, clock).cover(times) for _ in range(4)))

    async with migrated.connection() as db:
        assert await existing(db) == {months.month_of(it) for it in times}


async def test_a_month_that_is_made_late_takes_its_rows_out_of_the_default(
    migrated: Database,
) -> None:
    moment = to_datetime(NOW + 80 * DAY)
    await add(migrated, moment, to_datetime(0))
    assert await places(migrated) == {"history_default": 2}

    await Months(migrated, ManualClock(NOW + 79 * DAY)).cover([NOW + 80 * DAY])

    name = months.table(months.month_of(NOW + 80 * DAY))
    assert await places(migrated) == {name: 1, "history_default": 1}


async def test_each_touchpoint_lies_in_its_month_and_late_ones_are_folded_over_months(
    engine_url: str, migrated: Database
) -> None:
    async with Engine(engine_url, MemoryBroker()) as engine:
        await engine.send(touchpoint(NOW - 40 * DAY, user="u", event="Order Completed"))
        await engine.settled()
        await engine.send(
            touchpoint(NOW - 70 * DAY, user="u", event="Order Completed"),
            touchpoint(0, user="u", kind="page"),
        )
        await engine.settled()

        timeline = engine.timeline("user_id", "u")
    assert [it.target for it in timeline] == ["reach", "conversion", "retention"]
    assert await places(migrated) == {
        months.table(months.month_of(NOW - 40 * DAY)): 1,
        months.table(months.month_of(NOW - 70 * DAY)): 1,
        "history_default": 1,
    }


async def test_readers_of_the_history_hold_up_a_new_month_for_no_longer_than_they_read(
    migrated: Database,
) -> None:
    history = Months(migrated, ManualClock(NOW))

    async with migrated.transaction() as reader:
        await reader.fetch("SELECT 1 FROM history")
        making = asyncio.create_task(history.cover([NOW - HOUR]))
        await asyncio.sleep(0.1)
        assert not making.done()
    await making

    async with migrated.connection() as db:
        assert months.month_of(NOW - HOUR) in await existing(db)


async def test_housekeeping_makes_months_ahead_and_drops_empty_ones_that_nobody_wants(
    migrated: Database,
) -> None:
    clock = ManualClock(NOW)
    history, stop = Months(migrated, clock), asyncio.Event()
    old = months.month_of(NOW - housekeeping.GRACE) - 26
    await history.cover([months.span(old)[0], months.span(old + 1)[0]])

    with capture_logs() as logs:
        task = asyncio.create_task(housekeeping.keep(migrated, history, clock, Keeping(25), stop))
        async with asyncio.timeout(10):
            while not any(line["event"] == "history.month_dropped" for line in logs):  # noqa: ASYNC110 - its doing
                await asyncio.sleep(0.01)
        stop.set()
        await task

    async with migrated.connection() as db:
        assert await existing(db) == {old + 1, *months.ahead(NOW)}
