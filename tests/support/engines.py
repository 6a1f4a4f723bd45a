"""An engine for tests that need no other than the usual one; see `engine.Engine`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from clm_common.bus.memory import MemoryBroker
from tests.support.engine import Engine


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    """Run an engine on a bus in memory."""
    async with Engine(engine_url, MemoryBroker()) as running:
        yield running
