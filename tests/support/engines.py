"""An engine for tests that need no other than the usual one; see `engine.Engine`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from urllib.parse import urlsplit

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.store.migrations import migrate
from tests.support.engine import Engine
from tests.support.loops import finish
from tests.support.servers import DatabaseServer


@pytest.fixture(scope="session")
def engine_template(database_server: DatabaseServer) -> Generator[str]:
    """Name a database with the stage-engine's tables, which is copied and never written to."""
    url = finish(database_server.create())
    finish(migrate(url, package="clm_stage_engine", schema="stage_engine"))
    yield urlsplit(url).path.removeprefix("/")
    finish(database_server.drop(url))


@pytest.fixture
async def engine_url(database_server: DatabaseServer, engine_template: str) -> AsyncGenerator[str]:
    """Give a database with the stage-engine's tables, and nothing in them."""
    url = await database_server.create(engine_template)
    yield url
    await database_server.drop(url)


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    """Run an engine on a bus in memory."""
    async with Engine(engine_url, MemoryBroker()) as running:
        yield running
