"""Databases that have a service's tables already: its migrations run once in a run of the tests.

What they made is a template that is copied and never written to.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest

from clm_common.store.migrations import migrate
from tests.support.loops import finish
from tests.support.servers import DatabaseServer, name_of


@pytest.fixture(scope="session")
def engine_template(database_server: DatabaseServer) -> Generator[str]:
    """Name a database with the stage-engine's tables."""
    yield from _migrated(database_server, "stage_engine")


@pytest.fixture(scope="session")
def metrics_template(database_server: DatabaseServer) -> Generator[str]:
    """Name a database with metrics' tables."""
    yield from _migrated(database_server, "metrics")


@pytest.fixture(scope="session")
def engagement_template(database_server: DatabaseServer) -> Generator[str]:
    """Name a database with engagement's tables."""
    yield from _migrated(database_server, "engagement")


@pytest.fixture
async def engine_url(database_server: DatabaseServer, engine_template: str) -> AsyncGenerator[str]:
    """Give a database with the stage-engine's tables, and nothing in them."""
    async with database_server.lend(engine_template) as url:
        yield url


@pytest.fixture
async def metrics_url(
    database_server: DatabaseServer, metrics_template: str
) -> AsyncGenerator[str]:
    """Give a database with metrics' tables, and nothing in them."""
    async with database_server.lend(metrics_template) as url:
        yield url


@pytest.fixture
async def engagement_url(
    database_server: DatabaseServer, engagement_template: str
) -> AsyncGenerator[str]:
    """Give a database with engagement's tables, and nothing in them."""
    async with database_server.lend(engagement_template) as url:
        yield url


def _migrated(server: DatabaseServer, schema: str) -> Generator[str]:
    url = finish(server.create())
    finish(migrate(url, package=f"clm_{schema}", schema=schema))
    yield name_of(url)
    finish(server.drop(url))
