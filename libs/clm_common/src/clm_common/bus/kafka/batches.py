"""Messages packed into record batches per partition, and sent in one go.

Used inside and outside of transactions. Packing by hand costs a twentieth of aiokafka's `send`,
which makes a future per message (see `benchmarks/bench_producer.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final
from zlib import crc32

from aiokafka import AIOKafkaProducer

from clm_common.bus.columns import Columns
from clm_common.bus.kafka.lifecycle import retrieve, retrieve_queued
from clm_common.bus.kafka.records import Compression, Encoded, RecordBatch, bodies_of
from clm_common.bus.ports import Message
from clm_common.bus.size import BATCH_BYTES, refuse

_FEW: Final = 8
"""Messages of one call up to which they are packed together with those of others."""

_SMALL: Final = 256 * 1024


class _Rows(dict[str, list[list[bytes]]]):
    """The bodies of messages of each topic, by partition."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        super().__init__()
        self._partitions = partitions

    def __missing__(self, topic: str) -> list[list[bytes]]:
        row = self[topic] = [[] for _ in range(self._partitions[topic])]
        return row


class Batches:
    """Batches under construction, by topic and partition, in order per partition."""

    __slots__ = (
        "_compression", "_encoded", "_few", "_partitions", "_queues", "_time", "_transactional",
    )  # fmt: skip

    def __init__(self, *, compression: Compression | None, transactional: bool = False) -> None:
        """Begin with none.

        Args:
            compression: the codec of the batches.
            transactional: they are sent within a transaction.
        """
        self._compression: Compression | None = compression
        self._transactional = transactional
        self._time = time.time_ns() // 1_000_000
        self._queues: dict[tuple[str, int], list[RecordBatch]] = {}
        self._encoded = Encoded()
        self._few: Columns | None = None
        self._partitions: Mapping[str, int] = {}

    def add(self, messages: Sequence[Message], partitions: Mapping[str, int]) -> None:
        """Append messages, each to the partition of its key; all have the time of these batches.

        Few messages, kept by column, are packed with those of other calls: to pack one alone costs
        more than all else that is done with it here.

        Args:
            messages: what is to be sent.
            partitions: the number of partitions of every topic that occurs; the same at each call.

        Raises:
            InvalidMessage: a message is too large because of its headers; others may stay.
        """
        self._partitions = partitions
        if isinstance(messages, Columns) and len(messages) <= _FEW and self._is_small(messages):
            self._put_off(messages)
        else:
            self._pack_few()
            self._pack(messages, partitions)

    def _put_off(self, messages: Columns) -> None:
        few = self._few
        if few is None or (few.topic, few.names) != (messages.topic, messages.names):
            self._pack_few()
            few = self._few = Columns(messages.topic, messages.names)
        few.extend(messages)

    def _is_small(self, messages: Columns) -> bool:
        """Tell whether it is certain already that each of some messages fits into a batch."""
        size = sum(map(len, chain(messages.keys, messages.values, *messages.headers)))
        for shared in messages.shared:
            size += len(self._encoded[shared][0])
        return size < _SMALL

    def _pack_few(self) -> None:
        """Pack what was put off; before anything that came later, as order is kept per key."""
        if self._few is not None:
            few, self._few = self._few, None
            self._pack(few, self._partitions)

    def _pack(self, messages: Sequence[Message], partitions: Mapping[str, int]) -> None:
        bodies = bodies_of(messages, self._encoded)
        rows = _Rows(partitions)
        if isinstance(messages, Columns):
            row = rows[messages.topic]
            for key, body in zip(messages.keys, bodies, strict=True):
                row[crc32(key) % len(row)].append(body)  # as `topics.partition_of`
        else:
            for message, body in zip(messages, bodies, strict=True):
                row = rows[message.topic]
                row[crc32(message.key) % len(row)].append(body)
        for topic, row in rows.items():
            for partition, part in enumerate(row):
                if part:
                    self._put(part, topic, partition)

    def put(self, messages: Sequence[Message], topic: str, partition: int) -> None:
        """Append messages to a partition, whatever their keys.

        Raises:
            InvalidMessage: as `add`.
        """
        self._pack_few()
        self._put(bodies_of(messages, self._encoded), topic, partition)

    def _put(self, bodies: Sequence[bytes], topic: str, partition: int) -> None:
        queue = self._queues.setdefault((topic, partition), [])
        taken = queue[-1].extend(bodies) if queue else 0
        while taken < len(bodies):
            refuse(topic, len(bodies[taken]))  # a batch takes its first message whatever the size
            queue.append(self._begin())
            taken += queue[-1].extend(bodies[taken:])

    def _begin(self) -> RecordBatch:
        return RecordBatch(
            time=self._time,
            limit=BATCH_BYTES,
            compression=self._compression,
            transactional=self._transactional,
        )

    def __iter__(self) -> Iterator[tuple[str, int, RecordBatch]]:
        """Give every batch, those of one partition in order and the partitions side by side."""
        self._pack_few()
        for batches in zip_longest(*self._queues.values()):
            for (topic, partition), batch in zip(self._queues, batches, strict=True):
                if batch is not None:
                    yield topic, partition, batch

    async def send(self, producer: AIOKafkaProducer) -> None:
        """Send every batch and wait until each is acknowledged.

        Raises:
            KafkaError: one was not; others may have been.
        """
        acknowledged: list[asyncio.Future[object]] = []
        for topic, partition, batch in self:
            future = await producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(retrieve)
            retrieve_queued(producer, topic, partition)
            acknowledged.append(future)
        await asyncio.gather(*acknowledged)
