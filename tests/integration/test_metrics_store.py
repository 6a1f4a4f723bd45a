"""Metrics' figures on a real PostgreSQL: exact in any order, once each, and made anew at need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clm_common.contracts.stage_change import StageChange
from clm_common.errors import RaceLost, Unavailable
from clm_common.store.database import Database
from clm_metrics import store, upkeep
from clm_metrics.core.calendar import Calendar, Zones, to_date
from clm_metrics.core.ledger import ENTRIES, PRESENT
from clm_metrics.handlers import JourneyHandler
from tests.support.measuring import book, figures, records, summed, totals
from tests.support.river import Recount, batches, change, path, retraction
from tests.support.river_cases import rivers

ADA = path(
    "ada",
    ("2026-03-28T23:30:00Z", "reach"),
    ("2026-03-29T21:59:59Z", "acquisition"),
    ("2026-03-29T22:00:00Z", "conversion"),
)
"""Three entries around the day on which Berlin's clocks change."""


@pytest.fixture
async def database(metrics_url: str) -> AsyncGenerator[Database]:
    async with Database(metrics_url, schema=store.SCHEMA, name="test") as opened:
        yield opened


async def emptied(database: Database) -> None:
    async with database.connection() as db:
        await db.execute("TRUNCATE workspace, stage_entry, day_figure, total_figure")


@given(
    river=rivers(),
    cuts=st.lists(st.integers(0, 60), max_size=3),
    zone=st.sampled_from(("UTC", "Europe/Berlin")),
    data=st.data(),
)
@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_kept_figures_equal_a_naive_recount_in_any_order(
    database: Database,
    river: list[StageChange],
    cuts: list[int],
    zone: str,
    data: st.DataObject,
) -> None:
    await emptied(database)
    repeated = data.draw(st.lists(st.sampled_from(river), max_size=3))
    shuffled = data.draw(st.permutations([*river, *repeated]))

    for batch in batches(shuffled, cuts):
        await book(database, batch, zones=Zones(zone))

    found, recount = await figures(database), Recount(river, zone=zone)
    entries = {
        (cell.stage, to_date(cell.day).isoformat()): value
        for cell, value in found.items()
        if cell.measure == ENTRIES
    }
    present = {key[3]: value for key, value in summed(found).items() if key[2] == PRESENT}
    assert entries == recount.entries()
    assert present == recount.people()
    assert await totals(database) == summed(found)


async def test_the_newest_version_of_each_change_is_kept(database: Database) -> None:
    late = retraction(ADA[2])

    await book(database, [late, *ADA])

    async with database.connection() as db:
        rows = await db.fetch("SELECT id, version, retracted FROM stage_entry ORDER BY at")
    assert [tuple(row) for row in rows] == [
        (ADA[0].id, 1, False),
        (ADA[1].id, 2, False),
        (ADA[2].id, 4, True),
    ]


async def test_two_batches_that_decided_from_the_same_rows_do_not_both_count(
    database: Database,
) -> None:
    await book(database, ADA[:1])
    handler = JourneyHandler(0, Zones())

    async with database.transaction() as tx:
        slow = await handler.decide(tx, records([ADA[1]]))
        await book(database, [ADA[1]], partition=1)
        with pytest.raises(RaceLost):
            await slow.write(tx, 1)

    assert (await totals(database))["acme", "reach", ENTRIES, "acquisition"] == 1


async def test_partitions_add_up_without_waiting_for_one_another(database: Database) -> None:
    await book(database, path("eve", ("2026-03-01T10:00:00Z", "reach")))
    handler = JourneyHandler(1, Zones())

    async with database.transaction() as tx:
        first = await handler.decide(tx, records(path("bob", ("2026-03-28T10:00:00Z", "reach"))))
        await first.write(tx, 1)
        async with asyncio.timeout(2):
            await book(database, path("cid", ("2026-03-28T10:00:00Z", "reach")), partition=2)

    assert (await totals(database))["acme", "reach", PRESENT, "reach"] == 3


async def test_a_new_time_zone_makes_the_figures_anew(database: Database) -> None:
    await book(database, [*ADA, *path("bob", ("2026-03-28T23:30:00Z", "reach"))])

    await upkeep.align(database, Zones("UTC", {"acme": "Europe/Berlin"}))

    days = {
        (cell.stage, to_date(cell.day).isoformat()): value
        for cell, value in (await figures(database)).items()
        if cell.measure == ENTRIES
    }
    assert days == {
        ("reach", "2026-03-29"): 2,
        ("acquisition", "2026-03-29"): 1,
        ("conversion", "2026-03-30"): 1,
    }
    assert await totals(database) == summed(await figures(database))


async def test_what_arrives_after_a_rebuild_is_added_to_it(database: Database) -> None:
    berlin = Zones("Europe/Berlin")
    await book(database, ADA[:2])
    await upkeep.align(database, berlin)

    await book(database, [retraction(ADA[1]), ADA[2]])

    rebuilt = await figures(database)
    await emptied(database)
    await book(database, [ADA[0], retraction(ADA[1]), ADA[2]], zones=berlin)
    assert rebuilt == await figures(database)


async def test_a_time_zone_that_is_kept_makes_nothing_anew(database: Database) -> None:
    await book(database, ADA)

    async with database.connection() as db:
        assert await store.outdated(db, Zones()) == {}
        assert set(await store.outdated(db, Zones("Asia/Tokyo"))) == {"acme"}


async def test_a_batch_decided_by_the_old_time_zone_is_decided_again(database: Database) -> None:
    await book(database, ADA[:1])
    handler = JourneyHandler(0, Zones())

    async with database.transaction() as tx:
        outdated = await handler.decide(tx, records([ADA[1]]))
        await upkeep.align(database, Zones("Asia/Tokyo"))
        with pytest.raises(RaceLost):
            await outdated.write(tx, 1)


async def test_a_batch_waits_for_a_rebuild_and_then_loses_the_race(database: Database) -> None:
    await book(database, ADA[:1])
    handler = JourneyHandler(0, Zones())

    async with database.transaction() as tx, database.transaction() as other:
        outdated = await handler.decide(tx, records([ADA[1]]))
        await store.rebuild(other, "acme", Calendar("Asia/Tokyo"))
        writing = asyncio.create_task(outdated.write(tx, 1))
        await asyncio.sleep(0.2)
        assert not writing.done()
        await other.execute("COMMIT; BEGIN")
        with pytest.raises(RaceLost):
            await writing


async def test_an_older_release_leaves_the_figures_of_a_newer_one_alone(
    database: Database,
) -> None:
    await book(database, ADA[:1])
    async with database.connection() as db:
        await db.execute("UPDATE workspace SET revision = 99")

    with pytest.raises(Unavailable, match="a newer release has taken over"):
        await book(database, [ADA[1]])

    async with database.connection() as db:
        assert await store.outdated(db, Zones("Asia/Tokyo")) == {}


async def test_two_workspaces_may_be_new_in_two_partitions_at_once(database: Database) -> None:
    at = "2026-03-28T10:00:00Z"
    rivers_of = [
        [change(f"p{index}", at, "reach", workspace=name) for name in names]
        for index, names in enumerate((("w1", "w2", "w3"), ("w3", "w2", "w1")) * 4)
    ]

    await asyncio.gather(
        *(book(database, each, partition=index) for index, each in enumerate(rivers_of))
    )

    found = await totals(database)
    assert {key[0]: value for key, value in found.items() if key[2] == PRESENT} == {
        "w1": 8,
        "w2": 8,
        "w3": 8,
    }


async def test_the_schema_refuses_two_rows_for_one_change(database: Database) -> None:
    await book(database, ADA[:1])

    async with database.connection() as db:
        with pytest.raises(asyncpg.UniqueViolationError):
            await db.execute("INSERT INTO stage_entry SELECT * FROM stage_entry")
        assert isinstance(await db.fetchval("SELECT id FROM stage_entry"), UUID)
