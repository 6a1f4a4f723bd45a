"""Apache Kafka as a child process: it starts, keeps what it acknowledged, and is alone."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.ports import Message
from clm_local import child, kafka
from clm_local.errors import LocalError
from clm_local.ports import free_ports
from tests.support.servers import KafkaNode, kafka_software

pytestmark = pytest.mark.timeout(180)


async def create_topic(bootstrap: str) -> str:
    name = f"test-{uuid.uuid4().hex}"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()
    return name


async def produce(bootstrap: str, topic: str, values: Sequence[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, value) for value in values])
    finally:
        await producer.stop()


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value or b"" for _ in range(count)]
    finally:
        await consumer.stop()


def test_what_killed_brokers_unpacked_goes_with_the_next_start(tmp_path: Path) -> None:
    old, new = tmp_path / "native" / "old.so", tmp_path / "native" / "new.so"
    kafka.tidy(tmp_path / "native")
    old.touch()
    new.touch()
    os.utime(old, (0, 0))

    kafka.tidy(tmp_path / "native")

    assert (old.exists(), new.exists()) == (False, True)


async def test_a_broker_unpacks_its_libraries_among_its_own_files(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node, scratch = kafka_node(), kafka_software().scratch
    await node.start()
    before = {it.name for it in scratch.iterdir()}

    async with GroupProducer(KafkaSettings(bootstrap=node.bootstrap)) as producer:
        name = await create_topic(node.bootstrap)
        await producer.publish([Message(name, b"key", b"value" * 100)])

    unpacked = {it.name for it in scratch.iterdir()} - before
    assert any(it.startswith("snappy") for it in unpacked)


async def test_a_ready_broker_takes_and_gives_records_at_once(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()

    await node.start()
    topic = await create_topic(node.bootstrap)
    await produce(node.bootstrap, topic, [b"one", b"two"])

    assert await consume(node.bootstrap, topic, 2) == [b"one", b"two"]


async def test_what_was_acknowledged_survives_kill_nine(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    await node.start()
    topic = await create_topic(node.bootstrap)
    values = [f"{number}".encode() for number in range(500)]
    await produce(node.bootstrap, topic, values)

    node.kill()
    await node.start()
    await produce(node.bootstrap, topic, [b"after"])

    assert await consume(node.bootstrap, topic, 501) == [*values, b"after"]


async def test_a_directory_may_be_run_on_other_ports_than_last_time(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    await node.start()
    topic = await create_topic(node.bootstrap)
    await produce(node.bootstrap, topic, [b"kept"])
    await node.stop()

    node.port, node.controller_port = free_ports(2)
    await node.start()

    assert await consume(node.bootstrap, topic, 1) == [b"kept"]


async def test_a_second_broker_on_the_same_directory_gives_up_and_harms_nothing(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    await node.start()
    topic = await create_topic(node.bootstrap)
    rival = await node.describe()
    argv = child.shimmed(rival.argv, lock=rival.lock, wait=0.2)

    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert process.returncode == 75
    assert b"is held by another process" in output
    await produce(node.bootstrap, topic, [b"unharmed"])
    assert await consume(node.bootstrap, topic, 1) == [b"unharmed"]


async def test_a_directory_that_kafka_did_not_format_is_left_alone(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    treasure = node.home / "kafka" / "data" / "treasure"
    treasure.parent.mkdir(parents=True)
    treasure.write_text("mine")

    with pytest.raises(LocalError) as refusal:
        await node.describe()

    assert refusal.value.slug == "kafka-data-unknown"
    assert treasure.read_text() == "mine"


async def test_a_broker_that_cannot_start_is_reported_with_the_end_of_its_log(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    await node.start()
    await node.stop()
    (node.home / "kafka" / "data" / "meta.properties").write_text("version=1\nnode.id=7\n")

    with pytest.raises(LocalError) as report:
        await node.start()

    assert report.value.slug == "start-failed"
    assert "cluster.id was not found" in str(report.value)


async def test_a_frozen_broker_does_not_count_as_answering(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    await node.start()

    node.freeze()
    frozen = await kafka.answers(node.port)
    node.thaw()
    thawed = await _soon(lambda: kafka.answers(node.port))

    assert not frozen
    assert thawed


async def test_java_keeps_kafkas_classes_ready_after_the_first_start(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()

    described = await node.describe()

    archive = kafka_software().archive
    assert archive.stat().st_size > 1_000_000
    assert f"-XX:SharedArchiveFile={archive}" in described.argv


async def _soon(holds: Callable[[], Awaitable[bool]]) -> bool:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110  (a broker cannot set an Event)
            await asyncio.sleep(0.1)
    return True
