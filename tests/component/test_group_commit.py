"""How calls of many senders share the flushes of the group-commit producer."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from aiokafka import AIOKafkaProducer

from clm_common.bus.kafka.batches import Batches
from tests.support.buses import KafkaBus, messages


@pytest.fixture
async def bus(kafka_bootstrap: str) -> AsyncGenerator[KafkaBus]:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    yield bus
    await bus.close()


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[Batches]:
    """Give what leaves, flush by flush."""
    left: list[Batches] = []
    send = Batches.send

    async def watched(batches: Batches, producer: AIOKafkaProducer) -> None:
        left.append(batches)
        await send(batches, producer)

    monkeypatch.setattr(Batches, "send", watched)
    return left


async def test_a_small_flush_waits_for_senders_that_were_just_answered(
    bus: KafkaBus, flushes: list[Batches]
) -> None:
    async with bus.producer(linger=0.05) as producer:

        async def send(sender: int) -> None:
            await asyncio.sleep(sender / 10_000)  # they begin one after the other
            for number in range(10):
                await producer.publish(messages(bus.topic, f"{sender}:{number}", key=str(sender)))

        await asyncio.gather(*map(send, range(20)))

    assert 10 <= len(flushes) <= 14


async def test_nobody_waits_who_sends_alone(bus: KafkaBus, flushes: list[Batches]) -> None:
    async with bus.producer(linger=5.0) as producer:
        await producer.publish(messages(bus.topic, "first", key="a"))
        async with asyncio.timeout(4.0):
            for number in range(20):
                await producer.publish(messages(bus.topic, str(number), key="a"))

    assert len(flushes) == 21


async def test_a_flush_that_is_large_does_not_wait(bus: KafkaBus) -> None:
    async with bus.producer(linger=5.0) as producer:
        large = "x" * 100_000
        await producer.publish(messages(bus.topic, "first", key="a"))

        async with asyncio.timeout(4.0):
            await asyncio.gather(
                *(producer.publish(messages(bus.topic, large, key="a")) for _ in range(20))
            )
