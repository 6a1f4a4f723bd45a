"""Erasing somebody everywhere: four services on real servers, one of them killed in between."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest
import pytest_asyncio

from clm_common.contracts.ids import profile_id
from clm_common.contracts.topics import DAY_MS, JOURNEY, TOUCHPOINTS
from clm_common.instant import HOUR, to_rfc3339
from tests.support.ingest import until
from tests.support.pipeline import Pipeline, pipeline
from tests.support.processes import service
from tests.support.servers import DatabaseServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WORDS: Final = ("lovelace", "tablet")
BEHIND: Final = ("metrics", "engagement")

Json = Any  # Any: what an answer holds

_TABLES: Final = """
    SELECT table_schema || '.' || table_name AS name FROM information_schema.tables
    WHERE table_schema = $1 AND table_type = 'BASE TABLE'
"""


@pytest_asyncio.fixture
async def urls(database_server: DatabaseServer) -> AsyncGenerator[dict[str, str]]:
    found = {name: await database_server.create() for name in BEHIND}
    yield found
    for url in found.values():
        await database_server.drop(url)


async def left(url: str, schema: str) -> set[str]:
    """Tell which words of hers stand anywhere in a service's tables, as text or as bytes."""
    db: Any = await asyncpg.connect(url)  # Any: asyncpg publishes no types
    try:
        found = set[str]()
        for table in await db.fetch(_TABLES, schema):
            rows = await db.fetch(f"SELECT it::text AS it FROM {table['name']} AS it")  # noqa: S608 - of the catalogue
            for row in rows:
                text = row["it"]
                found |= {it for it in WORDS if it in text or it.encode().hex() in text}
        return found
    finally:
        await db.close()


class Shop:
    """Sends events, and asks stage-engine."""

    def __init__(self, running: Pipeline, key: str) -> None:
        self._running = running
        self._key = key
        self.engine = running.engine.url
        self.now = time.time_ns() // 1000

    async def send(self, *events: Mapping[str, object]) -> None:
        answer = await self._running.ingest.http.post(
            "/v1/batch", json={"batch": events}, auth=(self._key, "")
        )
        assert answer.status_code == 200, answer.text

    async def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.engine, timeout=30) as http:
            token = self._running.ingest.token()
            return await http.request(method, path, json=body, headers=token)

    def event(self, name: str, ago: int, **more: object) -> dict[str, object]:
        at = to_rfc3339(self.now - ago)
        return {"type": "track", "event": name, "messageId": name, "timestamp": at, **more}

    def of_hers(self) -> list[dict[str, object]]:
        """Give all she did: on her tablet first, then by name, then a purchase."""
        traits = {"email": "lovelace@example.com", "name": "Ada Lovelace"}
        known = {"type": "identify", "userId": "lovelace", "anonymousId": "tablet"}
        return [
            self.event("Seen", 3 * HOUR, anonymousId="tablet"),
            self.event("Known", 2 * HOUR, traits=traits) | known,
            self.event("Order Completed", HOUR, userId="lovelace"),
        ]

    async def is_there(self, user: str) -> bool:
        workspace = self._running.ingest.workspace
        found = await self.ask("GET", f"/v1/profiles/{profile_id(workspace, 'user_id', user)}")
        return found.status_code == 200


async def test_nothing_is_left_in_any_service_and_nothing_comes_back(
    server_home: Path, database_server: DatabaseServer, urls: dict[str, str]
) -> None:
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(pipeline(server_home, database_server))
        for name in BEHIND:
            told = running.behind(urls[name]) | {"CLM_SMTP_URL": "smtp://127.0.0.1:9"}
            await stack.enter_async_context(service(f"clm_{name}", told))
        shop = Shop(running, await running.ingest.create_source())
        workspace = running.ingest.workspace
        databases = {**urls, "stage_engine": running.environment["CLM_DATABASE_URL"]}
        await shop.send(*shop.of_hers()[:1])
        bought = shop.event("Order Completed", HOUR, userId="bob", messageId="b1")
        await shop.send(*shop.of_hers()[1:], bought)

        async def are_known() -> bool:
            told = await left(urls["engagement"], "engagement") == {"lovelace"}
            return told and await counted(urls["metrics"]) == 2

        await until(are_known)
        ada = profile_id(workspace, "user_id", "lovelace")

        asked = await shop.ask("POST", f"/v1/profiles/{ada}/erase", {"reason": "by letter"})
        running.engine.kill()
        assert asked.status_code == 202, asked.text
        again = await stack.enter_async_context(service("clm_stage_engine", running.environment))
        shop.engine = again.url

        async def receipt() -> Json:
            return (await shop.ask("GET", f"/v1/erasures/{asked.json()['id']}")).json()

        async def is_whole() -> bool:
            found = await receipt()
            return found.get("state") == "erased" and bool(found["topics"])  # 503 at first

        await until(is_whole)
        for name, url in databases.items():
            assert (name, await left(url, name)) == (name, set())
        assert await counted(urls["metrics"]) == 1
        done = await receipt()
        assert (done["profiles"], done["touchpoints"]) == (2, 3)
        assert_topics_are_told(done)

        await shop.send(*shop.of_hers(), shop.event("Later", 30 * 60 * 10**6, userId="lovelace"))
        await shop.send(shop.event("Order Completed", HOUR, userId="bob", messageId="b2"))

        async def has_come() -> bool:
            found = await shop.ask("GET", f"/v1/profiles/{profile_id(workspace, 'user_id', 'bob')}")
            return bool(found.json()["touchpoints"] == 2)

        await until(has_come)
        assert not await shop.is_there("lovelace")
        fresh = to_rfc3339(time.time_ns() // 1000)
        await shop.send(shop.event("Back", 0, userId="lovelace") | {"timestamp": fresh})
        await until(lambda: shop.is_there("lovelace"))
        found = (await shop.ask("GET", f"/v1/profiles/{ada}")).json()
        assert (found["touchpoints"], found["anonymous_ids"]) == (1, [])


async def counted(url: str) -> int:
    """Count the people that metrics has in some stage."""
    db: Any = await asyncpg.connect(url)  # Any: asyncpg publishes no types
    try:
        value = await db.fetchval(
            "SELECT coalesce(sum(value), 0) FROM metrics.total_figure WHERE measure = 'present'"
        )
        return int(value)
    finally:
        await db.close()


def assert_topics_are_told(done: Json) -> None:
    topics = {it["topic"]: it for it in done["topics"]}
    assert {TOUCHPOINTS.name, JOURNEY.name, "clm.stage-changes"} <= topics.keys()
    assert sum(topics[JOURNEY.name]["before"].values()) > 0
    at = datetime.fromisoformat(done["stores"][0]["done_at"])
    clean = datetime.fromisoformat(topics[JOURNEY.name]["clean_by"])
    assert clean - at >= timedelta(milliseconds=JOURNEY.retention_ms)
    assert clean - at <= timedelta(milliseconds=JOURNEY.retention_ms + 7 * DAY_MS)
