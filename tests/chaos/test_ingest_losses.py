"""Ingest while brokers, disks and processes are lost under load: what was answered 200 stays."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from segment.analytics.client import Client

from clm_common.bus.kafka import KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_local.ports import free_ports
from tests.support.cluster import three_brokers
from tests.support.ingest import create_ingest_topics, ingest
from tests.support.journey import applied
from tests.support.processes import service
from tests.support.senders import senders, until_it_works
from tests.support.servers import DatabaseServer, KafkaNode

VISITORS, STEPS, KILLS = 6, 80, 2

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(420)]


async def test_the_loss_of_one_broker_of_three_loses_no_event_and_needs_no_restart(
    server_home: Path, database_url: str
) -> None:
    async with three_brokers(server_home) as cluster:
        await create_topics(KafkaSettings(bootstrap=cluster.bootstrap))
        async with ingest(cluster.bootstrap, database_url) as shop:
            await shop.until_ready()
            key = await shop.create_source()
            async with senders(shop, key) as sent:
                for victim in cluster.members[:2]:
                    await asyncio.sleep(1)
                    victim.kill()
                    await until_it_works(shop, key)
                    await asyncio.sleep(1)
                    await victim.start()
                    await until_it_works(shop, key)
            await sent.check_landed(cluster.bootstrap)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prlimit is Linux's")
async def test_a_broker_whose_disk_is_full_loses_nothing_that_was_answered_200(
    kafka_node: Callable[[], KafkaNode], database_url: str
) -> None:
    node = kafka_node()
    await node.start()
    await create_ingest_topics(node.bootstrap)
    async with ingest(node.bootstrap, database_url) as shop:
        await shop.until_ready()
        key = await shop.create_source()
        async with senders(shop, key) as sent:
            await asyncio.sleep(1.5)
            fill_disk_of(node)
            await shop.until_ready(ready=False)
            node.kill()
            await node.start()
            await until_it_works(shop, key)
        await sent.check_landed(node.bootstrap)


async def test_an_sdk_that_repeats_lands_each_event_once_though_ingest_is_killed_again_and_again(
    kafka_node: Callable[[], KafkaNode], database_server: DatabaseServer
) -> None:
    node = kafka_node()
    await node.start()
    kafka, signer = KafkaSettings(bootstrap=node.bootstrap), generate_key_pair()
    await create_topics(kafka)
    url, (port,) = await database_server.create(), free_ports(1)
    engine = {
        "CLM_DATABASE_URL": await database_server.create(),
        "CLM_KAFKA_BOOTSTRAP": node.bootstrap,
        "CLM_TOKEN_KEYS": jwks([signer.public]),
    }
    same = partial(ingest, node.bootstrap, url, environment={"CLM_HTTP_PORT": str(port)})
    async with service("clm_stage_engine", engine):
        async with same() as shop:
            await shop.until_ready()
            key, workspace = await shop.create_source(), shop.workspace
            visit = asyncio.create_task(asyncio.to_thread(visit_shop, key, shop.url))
            await asyncio.sleep(1)
        for _ in range(KILLS):  # leaving the block above killed it
            async with same() as again:
                await again.until_ready()
                await asyncio.sleep(1)
        async with same():
            complaints = await visit
            landed = await applied(node.bootstrap, workspace, VISITORS * STEPS)

    assert complaints == []
    assert sorted(it.message_id for it in landed) == sorted(
        f"{visitor}:{step}" for visitor in range(VISITORS) for step in range(STEPS)
    )


def visit_shop(key: str, host: str) -> list[Exception]:
    """Send what visitors do with the Segment SDK, slowly; gives what the SDK complained of."""
    complaints: list[Exception] = []

    def complain(error: Exception, _batch: object) -> None:
        complaints.append(error)

    client: Any = Client(key, host=host, on_error=complain, upload_size=5)  # Any: it is untyped
    for step in range(STEPS):
        for visitor in range(VISITORS):
            name = f"{visitor}:{step}"
            client.track(f"visitor-{visitor}", "Product Viewed", message_id=name)
        time.sleep(0.05)
    client.flush()
    client.join()
    return complaints


def fill_disk_of(node: KafkaNode) -> None:
    """Let no file of the broker grow any more: to it, that is a full disk."""
    largest = max(log.stat().st_size for log in node.home.rglob("clm.touchpoints-*/*.log"))
    resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (largest, largest))
