"""The transactional publisher on real Kafka when its process or its broker dies."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable

import pytest

from clm_common.bus.kafka.publisher import TRANSACTION_TIMEOUT
from clm_common.contracts.topics import partition_of
from clm_common.errors import ClmError, Unavailable
from tests.support.buses import PARTITIONS, KafkaBus, drain, everywhere, messages, texts
from tests.support.segments import written
from tests.support.servers import KafkaNode


@pytest.fixture
async def bus(kafka_bootstrap: str) -> AsyncGenerator[KafkaBus]:
    kafka = KafkaBus(kafka_bootstrap)
    await kafka.open()
    yield kafka
    await kafka.close()


async def run_dying(bus: KafkaBus, step: str) -> None:
    command = [sys.executable, "-m", "tests.support.dying_publisher"]
    process = await asyncio.create_subprocess_exec(
        *command, bus.settings.bootstrap, bus.topic, step, stderr=subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == -9, complaint.decode()


async def test_facts_of_a_publisher_killed_before_its_commit_are_never_seen(bus: KafkaBus) -> None:
    await run_dying(bus, "before-commit")

    publisher = bus.publisher(0)
    began = time.monotonic()
    published = await publisher.open()
    await publisher.publish([messages(bus.topic, "3 again", "4 again")], seq=4)

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = texts(await drain(reader, 4))
    assert published == 2
    assert found == ["1", "2", "3 again", "4 again"]
    assert time.monotonic() - began < TRANSACTION_TIMEOUT / 2  # nobody waited for the time-out
    await publisher.close()


async def test_a_publisher_killed_in_its_commit_has_published_all_or_nothing(bus: KafkaBus) -> None:
    await run_dying(bus, "during-commit")

    publisher = bus.publisher(0)
    published = await publisher.open()
    missing = [str(seq) for seq in range(published + 1, 5)]
    await publisher.publish([messages(bus.topic, *missing)], seq=4)

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = texts(await drain(reader, 4))
    assert published in {2, 4}
    assert found == ["1", "2", "3", "4"]
    await publisher.close()


async def test_readers_pass_a_dead_publisher_once_the_broker_ends_its_transaction(
    bus: KafkaBus,
) -> None:
    await run_dying(bus, "before-commit")
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        await producer.publish(messages(bus.topic, "behind it"))
        first = await reader.read(limit=10, wait=5.0)

        async with asyncio.timeout(TRANSACTION_TIMEOUT + 20):  # the broker looks every 10 s
            rest = await drain(reader, 1)

        assert [texts(records) for records in first.values()] == [["1", "2"]]
        assert texts(rest) == ["behind it"]


async def test_the_newest_position_is_found_behind_many_others(bus: KafkaBus) -> None:
    publisher = bus.publisher(3)
    await publisher.open()
    for seq in range(1, 12):
        await publisher.publish([], seq=seq)
    await publisher.close()

    successor = bus.publisher(3)

    assert await successor.open() == 11
    await successor.close()


async def test_a_large_transaction_spans_many_batches(bus: KafkaBus) -> None:
    facts = [str(number).ljust(2000, "x") for number in range(3000)]
    publisher = bus.publisher(0)
    await publisher.open()

    await publisher.publish([messages(bus.topic, *facts)], seq=3000)

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 3000)) == facts
    await publisher.close()


async def test_a_cancelled_publish_leaves_no_transaction_open(bus: KafkaBus) -> None:
    publisher = bus.publisher(0)
    await publisher.open()
    publishing = asyncio.create_task(publisher.publish([messages(bus.topic, "1")], seq=1))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing

    await publisher.close()

    successor = bus.publisher(0)
    assert await successor.open() in {0, 1}
    await successor.close()


async def test_facts_are_seen_once_and_in_order_though_the_broker_is_killed(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node, bus = await started(kafka_node)
    relaying = asyncio.create_task(relay(bus, 300))

    for outage in (0.0, 9.0):  # one that a publisher lives through, and one that it does not
        await asyncio.sleep(1.0)
        node.kill()
        await asyncio.sleep(outage)
        await node.start()
    reopened = await relaying

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = texts(await drain(reader, 300))
    home = partition_of(messages(bus.topic, "")[0].key, PARTITIONS)
    evidence = written(node.home, bus.topic, home) + written(node.home, bus.positions, 0)
    assert found == [str(seq) for seq in range(1, 301)], evidence
    assert evidence.count(": committed") >= 2 * 300 / 5, evidence
    assert reopened >= 1


async def started(kafka_node: Callable[[], KafkaNode]) -> tuple[KafkaNode, KafkaBus]:
    """Start a broker of the test's own, and open a bus on it."""
    node = kafka_node()
    await node.start()
    bus = KafkaBus(node.bootstrap)
    await bus.open()
    return node, bus


async def relay(bus: KafkaBus, last: int) -> int:
    """Publish facts 1 to `last`, five at a time, as a relay does; gives how often it reopened."""
    publisher, published, opened = bus.publisher(0), -1, 0
    while published < last:
        try:
            if published < 0:
                published, opened = await publisher.open(), opened + 1
            facts = [str(seq) for seq in range(published + 1, min(published + 6, last + 1))]
            await publisher.publish([messages(bus.topic, *facts)], seq=published + len(facts))
            published += len(facts)
            await asyncio.sleep(0.05)  # there are facts left when the broker is killed again
        except ClmError:
            await publisher.close()
            publisher, published = bus.publisher(0), -1
            await asyncio.sleep(0.2)
    await publisher.close()
    return opened - 1


async def test_a_publisher_that_is_given_up_leaves_no_failure_that_nobody_looked_at(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node, bus = await started(kafka_node)
    publisher = bus.publisher(0)
    await publisher.open()
    await publisher.publish([messages(bus.topic, "1")], seq=1)
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: complaints.append(it["message"]))

    node.kill()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await publisher.publish([messages(bus.topic, "2")], seq=2)
    await publisher.close()

    del publisher
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_a_publisher_says_so_when_no_broker_answers() -> None:
    publisher = KafkaBus("127.0.0.1:1").publisher(0)

    with pytest.raises(Unavailable):
        await publisher.open()

    await publisher.close()
