"""Metrics and engagement started from nothing: filled from a copy of the river, they go on live."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from clm_common.clock import SystemClock
from clm_common.contracts.topics import JOURNEY
from clm_common.runtime.handler import OpenHandler
from clm_common.store.database import Database
from clm_engagement import store as engagement
from clm_engagement.app import open_handler as open_journeys
from clm_engagement.channels import discover
from clm_engagement.definitions import FOLDER, load_definitions
from clm_engagement.handlers import Plans
from clm_metrics import store as metrics
from clm_metrics.core.calendar import Zones
from clm_metrics.handlers import open_handler as open_figures
from tests.support.commands import program
from tests.support.consuming import consuming
from tests.support.measuring import figures, totals
from tests.support.servers import DatabaseServer, KafkaNode, own_node
from tests.support.shop import Shop, clickstream, open_shop

WINDOW = 60 * 86_400_000_000
"""A live window (µs) in which everything that the visitors do would be acted upon."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    server_home: Path, database_server: DatabaseServer, engine_template: str
) -> AsyncGenerator[Shop]:
    """Run an engine on servers of the module's own."""
    with ExitStack() as stack:
        node = own_node(KafkaNode, server_home, stack)
        async with (
            database_server.lend(engine_template) as url,
            open_shop(node, url) as running,
        ):
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def copy(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Let visitors come before, while and after the river is copied; gives the copy's file."""
    chance = random.Random(6)
    await shop.send(clickstream(chance, 150, "a"))
    await shop.settled(150)
    await shop.send(clickstream(chance, 150, "b"))
    code, result, told = await shop.republish()
    assert code == 0, told
    await shop.send(clickstream(chance, 150, "c"))
    await shop.settled(450)
    file = tmp_path_factory.mktemp("copy") / "copy.json"
    file.write_text(json.dumps(result))
    return file


async def fill(shop: Shop, module: str, url: str, file: Path) -> tuple[int, str]:
    told = {**shop.environment, "CLM_DATABASE_URL": url}
    done = await program(module, str(file), **told)
    return done.code, done.told


async def test_metrics_filled_from_a_copy_and_started_counts_as_one_that_read_everything(
    shop: Shop, copy: Path, metrics_url: str, database_url: str
) -> None:
    counting = partial(consuming, metrics.SCHEMA, partial(open_figures, Zones()))

    code, told = await fill(shop, "clm_metrics.fill", database_url, copy)
    again, refusal = await fill(shop, "clm_metrics.fill", database_url, copy)
    async with (
        counting(metrics_url, shop.kafka, JOURNEY.name) as live,
        counting(database_url, shop.kafka, JOURNEY.name) as filled,
    ):
        wanted, found = await figures(live), await figures(filled)
        everything, together = await totals(live), await totals(filled)

    assert code == 0, told
    assert "0 records to go" in told
    assert again == 78
    assert "has read clm.journey" in refusal
    assert found == wanted
    assert together == everything


def planning(window: int) -> OpenHandler:
    definitions = load_definitions(FOLDER, discover(), "reach")
    plans = Plans(definitions.journeys, clock=SystemClock(), window=window)
    return partial(open_journeys, plans)


async def test_engagement_filled_from_a_copy_knows_as_much_and_writes_to_nobody_for_it(
    shop: Shop, copy: Path, engagement_url: str, database_url: str
) -> None:
    code, told = await fill(shop, "clm_engagement.fill", database_url, copy)
    async with Database(database_url, schema=engagement.SCHEMA, name="test") as database:
        planned = await messages(database)
    live, filled = (
        consuming(engagement.SCHEMA, planning(window), url, shop.kafka, JOURNEY.name)
        for url, window in ((engagement_url, WINDOW), (database_url, 0))
    )
    async with live as wanted, filled as found:
        known = [await knowledge(it) for it in (wanted, found)]
        ids = [{each for each, _, _ in await messages(it)} for it in (wanted, found)]
        written = {state for _, state, _ in await messages(wanted)}

    assert code == 0, told
    assert planned
    assert {state for _, state, _ in planned} == {"skipped"}
    assert "pending" in written
    assert known[0] == known[1]
    assert ids[0] == ids[1]


async def knowledge(database: Database) -> list[list[tuple[Any, ...]]]:  # Any: columns
    """Give all that engagement has learnt of the river."""
    tables = ("identity", "trait", "stage_entry")
    async with database.connection() as db:
        return [
            [tuple(row) for row in await db.fetch(f"SELECT * FROM {it} ORDER BY 1, 2")]  # noqa: S608 - constants
            for it in tables
        ]


async def messages(database: Database) -> list[tuple[Any, ...]]:  # Any: columns
    """Give what was planned."""
    async with database.connection() as db:
        return [tuple(it) for it in await db.fetch("SELECT id, state, reason FROM message")]


async def test_what_is_no_copy_is_refused_before_anything_is_read(
    shop: Shop, database_url: str, tmp_path: Path
) -> None:
    nothing = tmp_path / "nothing.json"
    half = tmp_path / "half.json"
    half.write_text('{"topic": "shop.copy", "switch_over": {"clm.journey": {"0": 1}}}')

    missing = await fill(shop, "clm_metrics.fill", database_url, nothing)
    broken = await fill(shop, "clm_metrics.fill", database_url, half)

    assert (missing[0], broken[0]) == (78, 78)
    assert "nothing.json" in missing[1]
    assert "each partition" in broken[1]
