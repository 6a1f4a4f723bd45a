"""A Chromium, and what the tests of clm.js share: an ingest, and a shop of the test's own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest_asyncio
from playwright.async_api import Browser

from clm_common.contracts.topics import TOUCHPOINTS
from tests.support.browser import browser, website
from tests.support.clm_js import Shop
from tests.support.ingest import IngestProcess, Tail, create_ingest_topics, ingest
from tests.support.servers import DatabaseServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(
    kafka_bootstrap: str, database_server: DatabaseServer
) -> AsyncGenerator[IngestProcess]:
    await create_ingest_topics(kafka_bootstrap)
    url = await database_server.create()
    async with ingest(kafka_bootstrap, url) as running:
        await running.until_ready()
        yield running
    await database_server.drop(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncGenerator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def shop(
    kafka_bootstrap: str, process: IngestProcess, chromium: Browser
) -> AsyncGenerator[Shop]:
    """Give a shop with a workspace of its own and a visitor who has never been there."""
    process.renew_workspace()
    key = await process.create_source()
    async with website() as site, Tail(kafka_bootstrap, TOUCHPOINTS) as tail:
        context = await chromium.new_context()
        shop = Shop(tail, process, site, context, key)
        shop.show()
        yield shop
        await context.close()
