"""Ingest while Kafka or PostgreSQL is away, killed, or slow."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from clm_local import kafka
from tests.support.ingest import create_ingest_topics, ingest
from tests.support.senders import assert_asked_to_wait, senders, track, until_it_works
from tests.support.servers import KafkaNode, PostgresNode, own_node

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(server_home: Path) -> AsyncGenerator[KafkaNode]:
    """Run a broker that tests take away and give back."""
    with ExitStack() as stack:
        node = own_node(KafkaNode, server_home, stack)
        await node.start()
        await create_ingest_topics(node.bootstrap)
        yield node


@pytest_asyncio.fixture(loop_scope="module")
async def broker(lasting: KafkaNode) -> KafkaNode:
    """Give the broker, running, in whatever state a test that failed has left it."""
    if not await kafka.answers(lasting.port):
        await lasting.start()
    return lasting


async def test_it_starts_without_kafka_and_works_as_soon_as_kafka_is_there(
    broker: KafkaNode, database_url: str
) -> None:
    await broker.stop()
    async with ingest(broker.bootstrap, database_url) as shop:
        health = await shop.http.get("/health")
        ready = await shop.http.get("/ready")
        early = await track(shop, "wk_any")
        await broker.start()
        await shop.until_ready()
        key = await shop.create_source()
        late = await track(shop, key)

    assert health.status_code == 200
    assert ready.status_code == 503
    assert early.status_code == 503
    assert late.status_code == 200


async def test_while_kafka_is_away_events_are_a_503_and_then_it_recovers_by_itself(
    broker: KafkaNode, database_url: str
) -> None:
    async with ingest(broker.bootstrap, database_url) as shop:
        await shop.until_ready()
        key = await shop.create_source()

        await broker.stop()
        away = await track(shop, key)
        await shop.until_ready(ready=False)
        health = await shop.http.get("/health")
        still_away = await track(shop, key)
        await broker.start()
        await until_it_works(shop, key)
        await shop.until_ready()

    assert_asked_to_wait(away)
    assert_asked_to_wait(still_away)
    assert health.status_code == 200


async def test_while_postgresql_is_away_known_keys_keep_working_and_others_must_wait(
    kafka_bootstrap: str, postgres_node: Callable[[], PostgresNode]
) -> None:
    node = postgres_node()
    await node.start()
    await create_ingest_topics(kafka_bootstrap)
    async with ingest(kafka_bootstrap, await node.server.create()) as shop:
        await shop.until_ready()
        key = await shop.create_source()

        node.kill()
        await asyncio.sleep(4)
        known = await track(shop, key)
        unknown = await track(shop, "wk_unknown")
        await node.start()
        await shop.until_ready()
        await asyncio.sleep(2)
        again = await track(shop, "wk_unknown")

    assert known.status_code == 200
    assert_asked_to_wait(unknown)
    assert again.status_code == 401


async def test_ingest_that_starts_while_postgresql_is_away_asks_to_wait_and_recovers_by_itself(
    kafka_bootstrap: str, postgres_node: Callable[[], PostgresNode]
) -> None:
    node = postgres_node()
    await node.start()
    await create_ingest_topics(kafka_bootstrap)
    database_url = await node.server.create()
    async with ingest(kafka_bootstrap, database_url) as before:
        await before.until_ready()
        key = await before.create_source()
    node.kill()

    async with ingest(kafka_bootstrap, database_url) as shop:
        early = [await track(shop, key), await track(shop, "wk_unknown")]
        ready = await shop.http.get("/ready")
        await node.start()
        await shop.until_ready()
        known, unknown = await track(shop, key), await track(shop, "wk_unknown")

    assert [(it.status_code, it.headers["retry-after"]) for it in early] == [(503, "2")] * 2
    assert ready.status_code == 503
    assert (known.status_code, unknown.status_code) == (200, 401)


@pytest.mark.chaos
async def test_all_that_was_answered_200_is_there_in_order_though_kafka_is_killed_under_load(
    broker: KafkaNode, database_url: str
) -> None:
    async with ingest(broker.bootstrap, database_url) as shop:
        await shop.until_ready()
        key = await shop.create_source()
        async with senders(shop, key) as sent:
            for _ in range(2):
                await asyncio.sleep(1.5)
                broker.kill()
                await asyncio.sleep(0.5)
                await broker.start()
                await until_it_works(shop, key)
        await sent.check_landed(broker.bootstrap)


async def test_a_body_that_trickles_in_is_cut_off(kafka_bootstrap: str, database_url: str) -> None:
    await create_ingest_topics(kafka_bootstrap)
    environment = {"CLM_INGEST_READ_SECONDS": "0.5"}
    async with ingest(kafka_bootstrap, database_url, environment=environment) as shop:
        await shop.until_ready()
        key = await shop.create_source()
        port = int(shop.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v1/track HTTP/1.1\r\nHost: t\r\nX-Write-Key: {key}\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())

        async with asyncio.timeout(5):
            status = await reader.readline()
        writer.close()
        await writer.wait_closed()
        other = await track(shop, key)

    assert b" 408 " in status
    assert other.status_code == 200


async def test_a_wrong_setting_is_named_and_ends_it(
    kafka_bootstrap: str, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = {"CLM_INGEST_READ_SECONDS": "soon"}

    with pytest.raises(RuntimeError, match="ended before it listened"):
        async with ingest(kafka_bootstrap, database_url, environment=wrong):
            pass

    assert "CLM_INGEST_READ_SECONDS=soon: must be a number" in capfd.readouterr().err


async def test_missing_topics_end_it_with_the_command_that_mends_it(
    kafka_node: Callable[[], KafkaNode], database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    node = kafka_node()
    await node.start()

    async with ingest(node.bootstrap, database_url) as shop:
        code = await shop.process.wait()

    assert code == 78
    assert "clm.touchpoints: is missing" in capfd.readouterr().err
