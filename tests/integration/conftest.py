"""The engine, two ingests on one database, and a terminal, for the modules that ask for them."""

import uuid
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from clm_common.runtime.tokens import KeyPair
from tests.support.buyers import buyers_template, buyers_url
from tests.support.desk import servers
from tests.support.engines import engine
from tests.support.ingest import IngestProcess, two_ingests
from tests.support.installation import Installation
from tests.support.servers import DatabaseServer
from tests.support.terminal import terminal


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    kafka_bootstrap: str, database_server: DatabaseServer
) -> AsyncGenerator[tuple[IngestProcess, IngestProcess]]:
    """Run them for all tests of a module."""
    async with two_ingests(kafka_bootstrap, database_server) as both:
        yield both


@pytest.fixture
def shop(pair: tuple[IngestProcess, IngestProcess]) -> IngestProcess:
    """Give the first process, with a workspace that no other test has seen."""
    pair[0].workspace = pair[1].workspace = f"ws-{uuid.uuid4().hex[:12]}"
    return pair[0]


@pytest.fixture
def own(
    started: tuple[IngestProcess, KeyPair],
    shop: IngestProcess,
    kafka_bootstrap: str,
    tmp_path: Path,
) -> Installation:
    """Give a terminal on the ingest that a module has started, for `shop`'s workspace."""
    return terminal(tmp_path / "data", shop, started[1], kafka_bootstrap)


@pytest.fixture
def other(pair: tuple[IngestProcess, IngestProcess]) -> IngestProcess:
    """Give the second process."""
    return pair[1]


__all__ = ["buyers_template", "buyers_url", "engine", "other", "own", "pair", "servers", "shop"]
