"""The two buses that one suite runs on: the one in memory and real Kafka, with fresh topics."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from clm_common.bus.kafka import (
    GroupProducer,
    KafkaSettings,
    PartitionReader,
    TransactionalPublisher,
)
from clm_common.bus.kafka.admin import create_topics, delete_topics
from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryPublisher, MemoryReader
from clm_common.bus.ports import Message, Producer, Publisher, Reader, Record
from clm_common.contracts.topics import Topic

PARTITIONS = 4
SERVICE = "test-engine"


def fresh_topics() -> tuple[Topic, Topic]:
    """Describe a topic and its positions, under names that nobody has used."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    return (
        Topic(name, PARTITIONS, 3_600_000, "facts"),
        Topic(f"{name}.published", PARTITIONS, -1, "positions", compacted=True),
    )


class Bus(Protocol):
    """What the suite needs of a bus: ports on one topic, and retention at will."""

    topic: str
    positions: str

    def producer(self) -> AbstractAsyncContextManager[Producer]: ...

    def reader(self) -> AbstractAsyncContextManager[Reader]: ...

    def publisher(self, partition: int) -> Publisher: ...

    async def expire(self, partition: int, before: int) -> None: ...


class MemoryBus:
    """The bus in memory."""

    def __init__(self) -> None:
        topics = fresh_topics()
        self.topic, self.positions = (topic.name for topic in topics)
        self.broker = MemoryBroker(topics)

    @asynccontextmanager
    async def producer(self) -> AsyncGenerator[Producer]:
        yield MemoryProducer(self.broker)

    @asynccontextmanager
    async def reader(self) -> AsyncGenerator[Reader]:
        yield MemoryReader(self.broker)

    def publisher(self, partition: int) -> Publisher:
        return MemoryPublisher(
            self.broker, service=self.topic, partition=partition, positions=self.positions
        )

    async def expire(self, partition: int, before: int) -> None:
        self.broker.partitions(self.topic)[partition].expire(before)


class KafkaBus:
    """Real Kafka; the topics are deleted by `close`."""

    def __init__(self, bootstrap: str) -> None:
        self.settings = KafkaSettings(bootstrap=bootstrap)
        self.topics = fresh_topics()
        self.topic, self.positions = (topic.name for topic in self.topics)

    async def open(self) -> None:
        await create_topics(self.settings, self.topics)

    async def close(self) -> None:
        await delete_topics(self.settings, [self.topic, self.positions])

    def producer(self, **options: Any) -> GroupProducer:  # Any: options of GroupProducer
        return GroupProducer(self.settings, **options)

    def reader(self) -> PartitionReader:
        return PartitionReader(self.settings)

    def publisher(self, partition: int) -> TransactionalPublisher:
        return TransactionalPublisher(
            self.settings, service=self.topic, partition=partition, positions=self.positions
        )

    async def expire(self, partition: int, before: int) -> None:
        admin: Any = AIOKafkaAdminClient(**self.settings.connection())  # Any: aiokafka is untyped
        await admin.start()
        try:
            place = TopicPartition(self.topic, partition)
            await admin.delete_records({place: RecordsToDelete(before)})
        finally:
            await admin.close()


def messages(topic: str, *values: str, key: str = "customer") -> list[Message]:
    """Make messages of one key."""
    return [Message(topic, key.encode(), value.encode()) for value in values]


def texts(records: Sequence[Record]) -> list[str]:
    """Give the values of records as text."""
    return [(record.value or b"").decode() for record in records]


async def drain(reader: Reader, count: int, *, limit: int = 1000) -> list[Record]:
    """Read until so many records have come, then make sure that none follows."""
    found: list[Record] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            batch = await reader.read(limit=limit, wait=1.0)
            found.extend(record for records in batch.values() for record in records)
    extra = await reader.read(limit=limit, wait=0.3)
    return found + [record for records in extra.values() for record in records]


def everywhere(topic: str, partitions: int = PARTITIONS) -> dict[tuple[str, int], int]:
    """Give the beginning of every partition of a topic."""
    return {(topic, partition): 0 for partition in range(partitions)}
