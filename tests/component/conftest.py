"""The engine, and ingest's routes in memory, for the modules that ask for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.support.engines import engine
from tests.support.ingest_world import IngestWorld

__all__ = ["engine"]


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    """Give ingest with its keys read."""
    world = IngestWorld()
    await world.keyring.refresh()
    yield world
    await world.http.aclose()
