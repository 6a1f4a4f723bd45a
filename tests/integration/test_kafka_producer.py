"""The group-commit producer on real Kafka that is killed, frozen, late, or slow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import pytest

from clm_common.bus.kafka import GroupProducer
from clm_common.bus.kafka.lifecycle import sender_of
from clm_common.bus.ports import Message
from clm_common.errors import Unavailable
from tests.support.buses import KafkaBus, drain, everywhere, messages, texts
from tests.support.servers import KafkaNode


async def working_bus(node: KafkaNode) -> KafkaBus:
    await node.start()
    bus = KafkaBus(node.bootstrap)
    await bus.open()
    return bus


async def publish_until_told(
    producer: GroupProducer, topic: str, sender: int, stop: asyncio.Event
) -> list[str]:
    """Publish 1, 2, 3 … of one key, each until acknowledged; gives what was acknowledged."""
    acknowledged: list[str] = []
    while not stop.is_set():
        value = f"{sender}:{len(acknowledged) + 1}"
        try:
            await producer.publish(messages(topic, value, key=f"sender-{sender}"))
        except Unavailable:
            await asyncio.sleep(0.05)
        else:
            acknowledged.append(value)
    return acknowledged


def first_appearances(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


@pytest.mark.parametrize(
    "outage", [0.0, 4.0], ids=["restarted at once", "away longer than patience"]
)
async def test_everything_acknowledged_is_there_though_the_broker_is_killed_under_load(
    kafka_node: Callable[[], KafkaNode], outage: float
) -> None:
    node = kafka_node()
    bus = await working_bus(node)
    stop = asyncio.Event()
    async with bus.producer(patience=3.0) as producer:
        senders = [
            asyncio.create_task(publish_until_told(producer, bus.topic, sender, stop))
            for sender in range(20)
        ]
        for _ in range(2):
            await asyncio.sleep(1.5)
            node.kill()
            await asyncio.sleep(outage)
            await node.start()
        await asyncio.sleep(1.5)
        stop.set()
        acknowledged = await asyncio.gather(*senders)

    total = sum(len(values) for values in acknowledged)
    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = texts(await drain(reader, total))
    assert total > 1000
    for sender, values in enumerate(acknowledged):
        landed = first_appearances([it for it in found if it.startswith(f"{sender}:")])
        assert landed[: len(values)] == values
    copies = [value for value, count in Counter(found).items() if count > 1]
    assert len(copies) <= 20 * 4  # at most what each sender had in flight at each failure


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    bus = KafkaBus(node.bootstrap)
    async with bus.producer() as producer:
        with pytest.raises(Unavailable):
            await producer.publish(messages(bus.topic, "too early"))
        with pytest.raises(Unavailable):
            await producer.ping()

        await node.start()
        await bus.open()
        async with asyncio.timeout(10):
            await until_available(producer)
        await producer.publish(messages(bus.topic, "in time"))

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 1)) == ["in time"]


async def test_a_frozen_broker_fails_the_waiting_calls_in_time_and_is_used_again_when_it_thaws(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    bus = await working_bus(node)
    async with bus.producer(patience=2.0) as producer:
        await producer.publish(messages(bus.topic, "before"))
        node.freeze()
        began = time.monotonic()

        with pytest.raises(Unavailable):
            await producer.publish(messages(bus.topic, "lost or late"))
        waited = time.monotonic() - began
        with pytest.raises(Unavailable):
            await producer.ping()
        node.thaw()
        async with asyncio.timeout(20):
            await until_available(producer)
        await producer.publish(messages(bus.topic, "after"))

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = texts(await drain(reader, 2))
    assert 1.9 < waited < 4.0
    assert [value for value in found if value != "lost or late"] == ["before", "after"]


async def test_what_waits_for_a_frozen_broker_is_bounded(
    kafka_node: Callable[[], KafkaNode],
) -> None:
    node = kafka_node()
    bus = await working_bus(node)
    async with bus.producer(patience=2.0, pending_bytes=100_000) as producer:
        await producer.publish(messages(bus.topic, "before"))
        node.freeze()
        large = messages(bus.topic, "x" * 40_000)

        outcomes = await asyncio.gather(
            *(producer.publish(large) for _ in range(5)), return_exceptions=True
        )
        node.thaw()
        async with asyncio.timeout(20):
            await until_available(producer)
        await producer.publish(large)

    slugs = Counter(error.slug for error in outcomes if isinstance(error, Unavailable))
    assert slugs == {"bus.away": 2, "bus.full": 3}


async def test_a_dead_sender_is_replaced(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer:
        await producer.publish(messages(bus.topic, "before"))
        assert producer._producer is not None
        sender_of(producer._producer).cancel()
        await asyncio.sleep(0.1)

        async with asyncio.timeout(10):
            await until_available(producer)
        await producer.publish(messages(bus.topic, "after"))

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 2)) == ["before", "after"]
    await bus.close()


async def test_a_cancelled_call_harms_no_other(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer:
        await producer.publish(messages(bus.topic, "warm"))
        calls = [
            asyncio.create_task(producer.publish(messages(bus.topic, str(number))))
            for number in range(10)
        ]
        await asyncio.sleep(0)
        calls[3].cancel()

        outcomes = await asyncio.gather(*calls, return_exceptions=True)

    assert [type(it).__name__ for it in outcomes if it] == ["CancelledError"]
    await bus.close()


async def test_full_batches_roll_over_into_the_same_flush_in_order(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    values = [str(number).ljust(10_000, "x") for number in range(500)]
    async with bus.producer() as producer:
        await producer.publish(messages(bus.topic, *values))

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 500)) == values
    await bus.close()


async def test_closing_delivers_what_waits(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer:
        await producer.publish(messages(bus.topic, "warm"))
        call = asyncio.create_task(producer.publish(messages(bus.topic, "last")))
        await asyncio.sleep(0)
    await call

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 2)) == ["warm", "last"]
    await bus.close()


async def until_available(producer: GroupProducer) -> None:
    """Wait until publishing works again."""
    while True:
        try:
            return await producer.ping()
        except Unavailable:
            await asyncio.sleep(0.1)


async def test_headers_may_be_any_sequence(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer:
        await producer.publish([Message(bus.topic, b"k", b"v", [("a", b"1")])])
        await producer.publish([Message(bus.topic, b"k", b"v", (("a", b"1"),))])
    await bus.close()
