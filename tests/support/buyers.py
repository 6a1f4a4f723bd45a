"""A shop whose people have a history, and two definitions of its lifecycle."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.instant import HOUR
from clm_stage_engine import definitions
from tests.support.engine import NOW, Engine
from tests.support.loops import finish
from tests.support.servers import DatabaseServer, name_of
from tests.support.touchpoints import touchpoint

OLD = """
key: shop
start: seen
stages: [{key: seen}, {key: buyer}, {key: regular}]
moves:
  - {from: seen, to: buyer, when: {event: Buy}}
  - {from: buyer, to: regular, when: {event: Buy, nth: 3}}
"""
NEW = OLD.replace("nth: 3", "nth: 2")
PEOPLE = 120
"""Person number n bought n % 4 times; each of them came by a device of their own first."""


@pytest.fixture(scope="session")
def buyers_template(database_server: DatabaseServer, engine_template: str) -> Generator[str]:
    """Name an engine's database with the history of `PEOPLE`; it is copied, not written to."""
    url = finish(database_server.create(engine_template))
    finish(fill(url))
    yield name_of(url)
    finish(database_server.drop(url))


@pytest.fixture
async def buyers_url(database_server: DatabaseServer, buyers_template: str) -> AsyncGenerator[str]:
    """Give an engine's database with the history of `PEOPLE`."""
    async with database_server.lend(buyers_template) as url:
        yield url


async def fill(url: str) -> None:
    """Give an engine's database the history of `PEOPLE`, the odd ones in acme, others in zeta."""
    old = definitions.parse(OLD)
    async with Engine(url, MemoryBroker(), lifecycle=old) as engine:
        for number in range(PEOPLE):
            user, device = f"u{number}", f"d{number}"
            workspace = "acme" if number % 2 else "zeta"
            started = NOW - 50 * HOUR
            seen = touchpoint(started, anonymous=device, kind="page", workspace=workspace)
            known = touchpoint(
                started + HOUR, anonymous=device, user=user, kind="identify", workspace=workspace
            )
            bought = [
                touchpoint(started + (2 + at) * HOUR, user=user, event="Buy", workspace=workspace)
                for at in range(number % 4)
            ]
            await engine.send(seen, known, *bought)
        await engine.settled()
