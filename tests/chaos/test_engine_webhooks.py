"""Engines that are killed while they deliver webhooks: every stage change arrives all the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

import asyncpg
import httpx
import msgspec
import pytest

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.clock import SystemClock
from clm_common.instant import DAY, SECOND
from clm_common.runtime.tokens import generate_key_pair, jwks, mint
from tests.support.endpoints import Reply, endpoint
from tests.support.processes import service
from tests.support.servers import DatabaseServer, KafkaNode
from tests.support.touchpoints import touchpoint

pytestmark = pytest.mark.chaos

PEOPLE = 120
KILLS = 4


@pytest.mark.timeout(420)
async def test_killed_engines_deliver_every_stage_change(
    kafka_node: Callable[[], KafkaNode], database_server: DatabaseServer
) -> None:
    node = kafka_node()
    await node.start()
    kafka = KafkaSettings(bootstrap=node.bootstrap)
    await create_topics(kafka)
    url, keys = await database_server.create(), generate_key_pair()
    environment = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": node.bootstrap,
        "CLM_LEASE_SECONDS": "2",
        "CLM_TOKEN_KEYS": jwks([keys.public]),
        "CLM_SECRETS_KEY": "k" * 32,
        "CLM_WEBHOOKS_HTTP": "true",
        "CLM_WEBHOOKS_PRIVATE": "true",
    }
    chance = random.Random(11)
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(endpoint())
        place.reply = lambda _: Reply(after=chance.uniform(0, 0.2))
        engine = await stack.enter_async_context(service("clm_stage_engine", environment))
        token = mint(
            keys.private, workspace="local", subject="t", scopes=["webhooks:write"], seconds=900
        )
        await _subscribe(engine.url, token, place.url)
        sending = asyncio.create_task(_send(kafka))
        for _ in range(KILLS):
            await place.received(len(place.posts) + 5)
            engine.kill()
            engine = await stack.enter_async_context(service("clm_stage_engine", environment))
        await sending
        wanted = await _all_delivered(url)
        came = {msgspec.json.decode(it.body)["id"] for it in place.posts}
    await database_server.drop(url)

    assert len(wanted) >= 2 * PEOPLE
    assert came == wanted


async def _subscribe(engine: str, token: str, url: str) -> None:
    headers = {"authorization": f"Bearer {token}"}
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=engine, headers=headers) as http:
        body = {"name": "shop", "url": url}
        while (await http.post("/v1/webhooks", json=body)).status_code != 201:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.2)


async def _send(kafka: KafkaSettings) -> None:
    begin = SystemClock().now() - DAY
    async with GroupProducer(kafka) as producer:
        for number in range(PEOPLE):
            it = touchpoint(begin + number * SECOND, user=f"u{number}", event="Order Completed")
            await producer.publish([it])
            await asyncio.sleep(0.1)


async def _all_delivered(url: str) -> set[str]:
    """Wait until every stage change is delivered; claims of the killed run out by themselves."""
    db = await asyncpg.connect(url, server_settings={"search_path": "stage_engine"})
    try:
        async with asyncio.timeout(240):
            while True:
                await asyncio.sleep(0.5)
                rows = await db.fetch("SELECT id, version FROM stage_change")
                done = await db.fetchval(
                    "SELECT count(*) FROM webhook_delivery WHERE state = 'delivered'"
                )
                if done == len(rows) >= 2 * PEOPLE:
                    return {f"{row['id']}:{row['version']}" for row in rows}
    finally:
        await db.close()
