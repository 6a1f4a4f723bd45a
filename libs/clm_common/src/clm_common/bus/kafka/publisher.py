"""The transactional publisher: one partition's facts, exactly once and in order.

Facts and the position "published up to seq" are written in one Kafka transaction, under the
transactional id `<service>-<partition>`. The position is a record on a compacted topic, in the
partition of the same number. A new owner starts a producer with the same id: that fences the old
one and ends its open transaction; then it reads the newest position, which says what is missing.
Kafka Connect's exactly-once sources keep their positions the same way (KIP-618). Group offsets are
not used: aiokafka loses them after a broker restart.

Kafka demands one producer per transactional id, so each publisher holds two connections to its
coordinator and one to each leader it writes to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer import sender

from clm_common.bus.columns import topics_of
from clm_common.bus.kafka.batches import Batches
from clm_common.bus.kafka.lifecycle import (
    FOREIGN,
    close,
    discard,
    retrieve_transaction,
    start,
    translate,
)
from clm_common.bus.kafka.settings import KafkaSettings
from clm_common.bus.ports import Message
from clm_common.bus.size import BATCH_BYTES
from clm_common.contracts import topics
from clm_common.contracts.position import Published
from clm_common.errors import InvalidMessage, Unavailable

log: Any = structlog.get_logger()  # Any: structlog's bound loggers are typed by configuration

TRANSACTION_TIMEOUT: Final = 10.0  # seconds a dead owner's transaction may hold back readers

_OPEN_WITHIN: Final = 15.0
_COMPRESSION: Final = "snappy"
_COMMIT_WITHIN: Final = 8.0  # below the time-out: an expired transaction looks like being fenced
_ABORT_WITHIN: Final = 2.0
_FIRST_WINDOW: Final = 256
_WIDER: Final = 16

AGAIN: Final = 0.004
"""Seconds until a transaction is begun again that the broker still had the last one to end before.

It answers a commit before its markers are written, which takes some milliseconds more; aiokafka's
20 would be most of the time that one event takes from ingest to its subscribers.
"""
sender.BACKOFF_OVERRIDE = AGAIN


class TransactionalPublisher:
    """The `Publisher` port on Kafka; one call at a time.

    After an error it is spent: `close` it and `open` a new one, which learns what was committed.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        service: str,
        partition: int,
        positions: str = topics.PUBLISHED.name,
    ) -> None:
        """Connects nowhere yet.

        Args:
            settings: how to reach the brokers.
            service: the first part of the transactional id, for example `clm-stage-engine`.
            partition: whose facts are published; also the partition of the position's record.
            positions: the topic that keeps the positions.
        """
        self._settings = settings
        self._id = f"{service}-{partition}"
        self._place = TopicPartition(positions, partition)
        self._partitions: dict[str, int] = {}
        self._producer: AIOKafkaProducer | None = None
        self._spent: AIOKafkaProducer | None = None
        self._committing = False

    async def open(self) -> int:
        """Fence the publisher before, and give the last seq published (0 at the beginning).

        Raises:
            OwnershipLost: yet another publisher has started meanwhile.
            Unavailable: no broker answers, or the old transaction does not end in time.
        """
        producer = self._make()
        try:
            await start(producer, within=_OPEN_WITHIN)
            seq = await _newest_position(self._settings, self._place)
        except FOREIGN as error:
            await close(producer)
            raise translate(error, f"opening {self._id}") from error
        except BaseException:
            await close(producer)
            raise
        self._producer = producer
        return seq

    async def publish(self, pieces: Iterable[Sequence[Message]], *, seq: int) -> None:
        """Publish messages and the position in one transaction; see `Publisher.publish`.

        Raises:
            OwnershipLost: another publisher of this partition has started, or this one was frozen
                until the broker ended its transaction.
            Unavailable: the broker is away; it may or may not be committed.
            InvalidMessage: a message alone is too large; nothing was published.
        """
        producer, self._producer = self._producer, None
        if producer is None:
            raise Unavailable("bus.publisher_spent", f"{self._id} is not open; open a new one")
        self._spent, self._committing = producer, False
        try:
            async with asyncio.timeout(_COMMIT_WITHIN):
                batches = await self._packed(producer, pieces, seq)
                await self._transact(producer, batches)
        except FOREIGN as error:
            raise translate(error, f"publishing as {self._id}") from error
        except InvalidMessage:  # raised while packing: nothing has begun
            self._producer, self._spent = producer, None
            raise
        self._producer, self._spent = producer, None

    async def close(self) -> None:
        """End it; an open transaction is aborted where a broker answers.

        Where none does, the next owner's `open` or the broker's time-out ends it.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            await close(producer)
        spent, self._spent = self._spent, None
        if spent is not None:
            if not self._committing:
                with contextlib.suppress(*FOREIGN):
                    async with asyncio.timeout(_ABORT_WITHIN):
                        await spent.abort_transaction()
            await discard(spent)

    async def _packed(
        self, producer: AIOKafkaProducer, pieces: Iterable[Sequence[Message]], seq: int
    ) -> Batches:
        batches = Batches(compression=_COMPRESSION, transactional=True)
        for piece in pieces:
            for topic in topics_of(piece) - self._partitions.keys():
                self._partitions[topic] = len(await producer.partitions_for(topic))
            batches.add(piece, self._partitions)
        topic, partition = self._place
        value = msgspec.json.encode(Published(seq))
        batches.put([Message(topic, str(partition).encode(), value)], topic, partition)
        return batches

    async def _transact(self, producer: AIOKafkaProducer, batches: Batches) -> None:
        await producer.begin_transaction()
        retrieve_transaction(producer)
        await batches.send(producer)
        self._committing = True
        await producer.commit_transaction()

    def _make(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._settings.connection(),
            transactional_id=self._id,
            transaction_timeout_ms=int(TRANSACTION_TIMEOUT * 1000),
            acks="all",
            compression_type=_COMPRESSION,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(_COMMIT_WITHIN * 500),
            retry_backoff_ms=50,
        )


async def _newest_position(settings: KafkaSettings, place: TopicPartition) -> int:
    """Read the newest committed position of a partition; 0 when there is none.

    The end is the last stable offset. Called after the transactional id was taken over, so no
    transaction of it is open, and nobody else writes to this partition.
    """
    consumer = AIOKafkaConsumer(
        **settings.connection(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_wait_ms=100,
        request_timeout_ms=int(_OPEN_WITHIN * 1000),
    )
    await start(consumer, within=_OPEN_WITHIN)
    try:
        async with asyncio.timeout(_OPEN_WITHIN):
            return await _read_newest(consumer, place)
    finally:
        await close(consumer)


async def _read_newest(consumer: AIOKafkaConsumer, place: TopicPartition) -> int:
    """Read ever longer tails of the partition until one holds a record, or all of it is read."""
    consumer.assign([place])
    oldest: int = (await consumer.beginning_offsets([place]))[place]
    end: int = (await consumer.end_offsets([place]))[place]
    window = _FIRST_WINDOW
    while True:
        begin = max(oldest, end - window)
        value = await _last_value(consumer, place, begin, end)
        if value is not None:
            return msgspec.json.decode(value, type=Published).seq
        if begin == oldest:
            return 0
        window *= _WIDER


async def _last_value(
    consumer: AIOKafkaConsumer, place: TopicPartition, begin: int, end: int
) -> bytes | None:
    consumer.seek(place, begin)
    value: bytes | None = None
    while await consumer.position(place) < end:
        found = await consumer.getmany(place, timeout_ms=100)
        for record in found.get(place, ()):
            if record.offset < end:
                value = record.value
    return value
