"""What a published event costs the client: group commit beside aiokafka's own ways to send.

    python -m benchmarks.bench_producer

All on one real Kafka (CLM_TEST_KAFKA, else one of its own), alternating, events per CPU-second of
this process: 32 requests of 100 events at a time, 500 bytes each, keys mixed, acks=all, idempotent,
snappy. "Own batches" are aiokafka's, filled by one caller with the events of all requests: the most
that group commit can reach, and what its target is a share of (docs/adr/0007). `send_and_wait`
awaits its 100 events one after the other. Once with two headers, and once with the six that ingest
writes.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.support import verdict
from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.kafka.admin import create_topics, delete_topics
from clm_common.bus.ports import Message
from clm_common.bus.size import BATCH_BYTES
from clm_common.contracts.topics import Topic
from tests.support.servers import KafkaNode

PART_OF_OWN: Final = 0.6
ROUNDS: Final = 5
REQUESTS: Final = 32
EVENTS: Final = 100
TOPIC: Final = Topic(f"bench-producer-{os.getpid()}", 12, 3_600_000, "events to be measured")

Request = Callable[[Sequence[Message]], Awaitable[object]]


def made_up(number: int, *, headers: int) -> Message:
    """Make one event as ingest publishes it: 500 bytes of Segment's JSON and up to six headers."""
    person = random.randrange(100_000)
    event = {
        "type": "track",
        "event": random.choice(["Product Viewed", "Product Added", "Order Completed"]),
        "messageId": f"node-next-{random.getrandbits(128):032x}",
        "userId": f"user-{person}",
        "properties": {"sku": f"G-{random.randrange(900)}", "price": random.randrange(9000) / 100},
        "context": {
            "page": {"path": f"/p/{number}", "url": f"https://shop.example.com/p/{number}"},
            "library": {"name": "analytics.js", "version": "next-1.84.3"},
            "locale": "en-GB",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        },
        "timestamp": "2026-11-22T10:00:00.000Z",
    }
    attributes = [
        ("ce_specversion", b"1.0"),
        ("ce_id", f"node-next-{number:040d}".encode()),
        ("ce_source", b"/workspaces/demo/sources/website"),
        ("ce_type", b"clm.touchpoint.track.v1"),
        ("content-type", b"application/json"),
        ("ce_time", b"2026-11-22T10:00:00.000000Z"),
    ]
    key, value = f"demo:user-{person}".encode(), json.dumps(event).encode()
    return Message(TOPIC.name, key, value, attributes[:headers])


async def gathered(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Publish by `send`, then wait for all."""
    sent = [await producer.send(**_arguments(message)) for message in messages]
    await asyncio.gather(*sent)


async def by_hand(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Publish by aiokafka's own batches, one per partition."""
    batches: dict[int, Any] = {}  # Any: aiokafka's builder is untyped
    for message in messages:
        partition = crc32(message.key) % TOPIC.partitions
        if partition not in batches:
            batches[partition] = producer.create_batch()
        batches[partition].append(
            key=message.key, value=message.value, timestamp=None, headers=list(message.headers)
        )
    sent = [
        await producer.send_batch(batch, TOPIC.name, partition=partition)
        for partition, batch in batches.items()
    ]
    await asyncio.gather(*sent)


async def one_by_one(producer: AIOKafkaProducer, messages: Sequence[Message]) -> None:
    """Publish by `send_and_wait`, as tutorials do."""
    for message in messages:
        await producer.send_and_wait(**_arguments(message))


def _arguments(message: Message) -> dict[str, Any]:  # Any: arguments of an untyped function
    return {
        "topic": message.topic,
        "key": message.key,
        "value": message.value,
        "headers": message.headers,
    }


def _ours(key: bytes, every: list[int], _: list[int]) -> int:
    return every[crc32(key) % len(every)]


async def rate(request: Request, clients: Sequence[Sequence[Message]], times: int) -> float:
    """Give events per CPU-second, every client sending its batch some times."""

    async def client(batch: Sequence[Message]) -> None:
        for _ in range(times):
            await request(batch)

    began = time.process_time()
    await asyncio.gather(*(client(batch) for batch in clients))
    return times * sum(len(batch) for batch in clients) / (time.process_time() - began)


async def measure(settings: KafkaSettings, *, headers: int) -> dict[str, list[float]]:
    """Run all three in turn, some rounds, after one round that does not count."""
    partitioner: Any = _ours  # aiokafka's own, in pure Python, would be unfair; Any: it is untyped
    plain = AIOKafkaProducer(
        **settings.connection(),
        acks="all",
        enable_idempotence=True,
        compression_type="snappy",
        partitioner=partitioner,
        max_batch_size=BATCH_BYTES,
    )
    batches = [
        [made_up(number, headers=headers) for number in range(EVENTS)] for _ in range(REQUESTS)
    ]
    async with GroupProducer(settings) as group, plain:
        contestants: dict[str, tuple[Request, Sequence[Sequence[Message]], int]] = {
            "group commit": (group.publish, batches, 40),
            "own batches": (lambda batch: by_hand(plain, batch), [[*chain(*batches)]], 40),
            "send and gather": (lambda batch: gathered(plain, batch), batches, 6),
            "send_and_wait": (lambda batch: one_by_one(plain, batch), batches, 3),
        }
        found: dict[str, list[float]] = {name: [] for name in contestants}
        for round_ in range(ROUNDS + 1):
            for name, (request, clients, times) in contestants.items():
                events = await rate(request, clients, times)
                if round_:
                    found[name].append(events)
    return found


@asynccontextmanager
async def broker() -> AsyncGenerator[KafkaSettings]:
    """Give a broker: the one that is named, else one of its own."""
    if given := os.environ.get("CLM_TEST_KAFKA"):
        yield KafkaSettings(bootstrap=given)
        return
    with tempfile.TemporaryDirectory() as home:
        node = KafkaNode(Path(home))
        await node.start()
        try:
            yield KafkaSettings(bootstrap=node.bootstrap)
        finally:
            node.discard()


def report(found: dict[str, list[float]], *, headers: int) -> bool:
    """Print the rates, and tell whether group commit is as cheap as it should be."""
    sys.stdout.write(f"{headers} headers\n")
    for name, rates in found.items():
        times = _ratio(rates, found["send_and_wait"])
        rate_ = statistics.median(rates) / 1000
        sys.stdout.write(f"  {name:16} {rate_:8.1f}k events/CPU-s {times:6.1f} x\n")
    part = _ratio(found["group commit"], found["own batches"])
    return verdict(f"group commit, {headers} headers, part of own batches", part, PART_OF_OWN)


def _ratio(rates: Sequence[float], others: Sequence[float]) -> float:
    return statistics.median(one / other for one, other in zip(rates, others, strict=True))


async def main() -> int:
    """Measure and print; gives 1 if the target is missed."""
    async with broker() as settings:
        await create_topics(settings, [TOPIC])
        met = [
            report(await measure(settings, headers=headers), headers=headers) for headers in (2, 6)
        ]
        await delete_topics(settings, [TOPIC.name])
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
