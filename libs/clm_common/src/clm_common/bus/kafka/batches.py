"""Messages packed into aiokafka's batches per partition, and sent in one go.

Used inside and outside of transactions. aiokafka's `send` makes a future per message, which costs
several times what packing does (see `benchmarks/bench_producer.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat, zip_longest
from typing import Any, TypeAlias
from zlib import crc32

from aiokafka import AIOKafkaProducer

from clm_common.bus.columns import Columns
from clm_common.bus.kafka.lifecycle import retrieve, retrieve_queued
from clm_common.bus.ports import Message
from clm_common.bus.size import refuse_oversize

Builder: TypeAlias = Any  # aiokafka's `BatchBuilder`, which is untyped


class Batches:
    """Batches under construction, by topic and partition, in order per partition."""

    __slots__ = ("_begin", "_queues", "_time")

    def __init__(self, begin: Callable[[], Builder]) -> None:
        """Begin with none.

        Args:
            begin: gives an empty batch: the `create_batch` of the producer that will send it.
        """
        self._begin = begin
        self._time = time.time_ns() // 1_000_000
        self._queues: dict[tuple[str, int], list[Builder]] = {}

    def add(self, messages: Sequence[Message], partitions: Mapping[str, int]) -> None:
        """Append messages, each to the partition of its key; all have the time of these batches.

        Args:
            messages: what is to be sent.
            partitions: the number of partitions of every topic that occurs; the same at each call.

        Raises:
            InvalidMessage: a message is too large; others may stay.
        """
        if isinstance(messages, Columns):
            topic, many = messages.topic, partitions[messages.topic]
            rows = zip(messages.keys, messages.values, _headers_of(messages), strict=True)
            for key, value, headers in rows:
                self._append((topic, crc32(key) % many), key, value, headers)
        else:
            for it in messages:
                place = it.topic, crc32(it.key) % partitions[it.topic]  # as `topics.partition_of`
                self._append(place, it.key, it.value, it.all_headers())

    def put(self, message: Message, partition: int) -> None:
        """Append a message to a partition, whatever its key.

        Raises:
            InvalidMessage: it is too large.
        """
        place = message.topic, partition
        self._append(place, message.key, message.value, message.all_headers())

    def _append(
        self, place: tuple[str, int], key: bytes, value: bytes, headers: list[tuple[str, bytes]]
    ) -> None:
        queue = self._queues.get(place)
        if queue is None:
            queue = self._queues[place] = []
        elif queue[-1].append(timestamp=self._time, key=key, value=value, headers=headers):
            return
        refuse_oversize(Message(place[0], key, value, headers))  # an empty batch takes any
        batch = self._begin()
        batch.append(timestamp=self._time, key=key, value=value, headers=headers)
        queue.append(batch)

    def __iter__(self) -> Iterator[tuple[str, int, Builder]]:
        """Give every batch, those of one partition in order and the partitions side by side."""
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
            batch.close()
            future = await producer.send_batch(batch, topic, partition=partition)
            future.add_done_callback(retrieve)
            retrieve_queued(producer, topic, partition)
            acknowledged.append(future)
        await asyncio.gather(*acknowledged)


def _headers_of(messages: Columns) -> Iterator[list[tuple[str, bytes]]]:
    """Give all headers of each message."""
    columns = zip(messages.names, messages.headers, strict=True)
    own = zip(*[zip(repeat(name), column, strict=False) for name, column in columns], strict=True)
    for shared, headers in zip(
        messages.shared, own if messages.names else repeat(()), strict=False
    ):
        yield [*shared.headers, *headers] if shared else [*headers]
