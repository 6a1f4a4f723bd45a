"""What an accepted event costs ingest's process, beside the barest one and the textbook service.

    python -m benchmarks.bench_ingest [SECONDS]

Each is a process of its own behind uvicorn (uvloop, httptools), on one real Kafka, alternating;
events per CPU-second of the server. The load comes from another process (`load`). Ingest has
everything on: write keys, a verdict per event, event times, CloudEvents headers, the window that
holds repeats back (no event is sent twice, so none is), metrics, and 200 only after acks=all.

All get the same requests in the same way: over connections that are kept, each written at once.
The raw answer reads the body to its end and says 204. The bare one decodes with the same parser,
publishes by the same producer and answers 200, with nothing else on: what can be reached at all, so
the targets are shares of it (docs/adr/0026). The textbook is FastAPI with a pydantic model
of the body and `send_and_wait` per event, one after the other, from a producer set up like ours
(idempotent, acks=all, snappy). How batches compare with them depends on the size of the events, so
there are several: the raw answer hardly minds it until a body passes 64 KiB, from where on uvicorn
halts and resumes reading, while the others look at every byte.

Then the time to an answer at half of the load that one process takes, and two processes beside one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import statistics
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import psutil
import uvloop
from msgspec import Struct

from benchmarks.load import TOKEN, Order, send
from benchmarks.support import servers, verdict
from tests.support.forking import execute
from tests.support.ingest import IngestProcess, create_ingest_topics, ingest

ROUNDS: Final = 5
SECONDS: Final = 2.0
CONNECTIONS: Final = 32
BATCH: Final = 100
SIZES: Final = (250, 500, 1_000)
"""Bytes of an event: a bare one, one with its context, one with many properties."""

USUAL: Final = 500
BATCH_PART_OF_BARE: Final = 0.55
SINGLE_PART_OF_BARE: Final = 0.5
P99_AT_HALF_LOAD: Final = 0.025
TWO_BESIDE_ONE: Final = 0.85
"""Two processes cost no more per event than one, but for the noise of a shared machine."""


class Contestant(Struct, frozen=True):
    """One or more server processes to be measured together."""

    ports: Sequence[int]
    processes: Sequence[psutil.Process]

    def cpu(self) -> float:
        """Give the CPU-seconds they have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes)

    def __add__(self, other: Contestant) -> Contestant:
        return Contestant([*self.ports, *other.ports], [*self.processes, *other.processes])


class Load(Struct, frozen=True):
    """What is sent: complete requests, and the events in each."""

    name: str
    requests: Sequence[bytes]
    events: int


class Figure(Struct, frozen=True):
    """One measurement.

    Attributes:
        cpu: events per CPU-second of the server.
        wall: events per second.
        p99: seconds to an answer.
    """

    cpu: float
    wall: float
    p99: float


def made_up(size: int = USUAL, time: str | None = None) -> dict[str, object]:
    """Make an event as a shop's page sends it, of so many bytes of JSON (250 at least).

    Its time is one of a certain minute, in no order, if none is given.
    """
    page = f"/p/{random.randrange(10_000)}"
    properties = {"sku": f"G-{random.randrange(900)}", "price": random.randrange(9000) / 100}
    event: dict[str, object] = {
        "timestamp": time or f"2026-11-21T19:57:{random.uniform(10, 60):.3f}Z",
        "type": "track",
        "event": random.choice(["Product Viewed", "Product Added", "Order Completed"]),
        "userId": f"user-{random.randrange(100_000)}",
        "properties": properties,
        "messageId": f"node-{random.getrandbits(80):020x}{TOKEN.decode()}",
    }
    if size >= USUAL:
        event |= {
            "integrations": {},
            "anonymousId": f"{random.getrandbits(128):032x}",
            "context": {
                "page": {"path": page, "url": f"https://shop.example.com{page}"},
                "library": {"name": "analytics.js", "version": "next-1.84.3"},
                "locale": "en-GB",
            },
        }
    missing = size - len(json.dumps(event)) - len(json.dumps({"note": ""}))
    return event | {"properties": properties | {"note": _words(missing)}}


def _words(length: int) -> str:
    """Make a text of so many characters."""
    text = " ".join(f"{random.getrandbits(30):x}" for _ in range(1 + length // 8))
    return text.ljust(length, ".")[: max(0, length)]


def request_of(path: str, body: object, key: str) -> bytes:
    """Write one HTTP request as an SDK sends it."""
    content = json.dumps(body).encode()
    basic = base64.b64encode(f"{key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: t.example.com\r\nAuthorization: Basic {basic}\r\n"
        "Content-Type: application/json\r\nUser-Agent: bench\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def batches(key: str, size: int = USUAL, time: str | None = None) -> Load:
    """Make requests of a hundred events of so many bytes."""
    bodies = [{"batch": [made_up(size, time) for _ in range(BATCH)]} for _ in range(64)]
    return Load(
        f"{BATCH} events of {size} B",
        [request_of("/v1/batch", body, key) for body in bodies],
        BATCH,
    )


def singles(key: str) -> Load:
    """Make requests of one event."""
    return Load("1 event", [request_of("/v1/track", made_up(), key) for _ in range(256)], 1)


async def measure(
    contestant: Contestant, load: Load, seconds: float, *, rate: float | None = None
) -> Figure:
    """Load a server for some seconds."""
    before = contestant.cpu()
    order = Order(contestant.ports, load.requests, CONNECTIONS, seconds, rate)
    harvest = await send(order)
    wrong = {status for status in harvest.statuses if status not in {200, 204}}
    if wrong:
        raise RuntimeError(f"answered {wrong}")
    events = harvest.answers * load.events
    return Figure(events / (contestant.cpu() - before), events / harvest.seconds, harvest.p99)


@asynccontextmanager
async def rival(kind: str, bootstrap: str) -> AsyncGenerator[Contestant]:
    """Run one of the rivals."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.rivals_of_ingest",
        kind,
        env={**os.environ, "CLM_KAFKA_BOOTSTRAP": bootstrap},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        port = int(await process.stdout.readline())
        yield Contestant([port], [psutil.Process(process.pid)])
    finally:
        process.kill()
        await process.wait()


def ours(running: IngestProcess) -> Contestant:
    """Give one of our processes as a contestant."""
    return Contestant([int(running.url.rpartition(":")[2])], [psutil.Process(running.process.pid)])


def report(title: str, found: dict[str, list[Figure]]) -> dict[str, float]:
    """Print the medians, and give how many times cheaper the first is than each of the others."""
    first, *_ = found.values()
    ratios = {
        name: statistics.median(
            our.cpu / other.cpu for our, other in zip(first, figures, strict=True)
        )
        for name, figures in found.items()
    }
    sys.stdout.write(f"{title}, {CONNECTIONS} connections\n")
    for name, figures in found.items():
        cpu = statistics.median(figure.cpu for figure in figures) / 1000
        wall = statistics.median(figure.wall for figure in figures) / 1000
        p99 = statistics.median(figure.p99 for figure in figures) * 1000
        sys.stdout.write(
            f"  {name:10} {cpu:8.1f}k events/CPU-s {wall:8.1f}k events/s  p99 {p99:6.1f} ms"
            f"  {next(iter(found))} is {ratios[name]:.3f} x\n"
        )
    sys.stdout.flush()
    return ratios


async def compare(
    contestants: dict[str, Contestant], load: Load, seconds: float
) -> tuple[dict[str, float], float]:
    """Measure all in turn, some rounds, after one that does not count.

    Gives how many times cheaper the first is than each, and the wall rate of the first.
    """
    found: dict[str, list[Figure]] = {name: [] for name in contestants}
    for round_ in range(ROUNDS + 1):
        for name, contestant in contestants.items():
            figure = await measure(contestant, load, seconds if round_ else 1.0)
            if round_:
                found[name].append(figure)
    ratios = report(f"{load.name} a request", found)
    first, *_ = found.values()
    return ratios, statistics.median(figure.wall for figure in first)


async def half_load(contestant: Contestant, load: Load, wall: float, seconds: float) -> float:
    """Give the median p99, in seconds, at half of the rate that was reached."""
    rate = wall / load.events / 2
    found = [await measure(contestant, load, seconds, rate=rate) for _ in range(ROUNDS)]
    p99 = statistics.median(figure.p99 for figure in found)
    sys.stdout.write(
        f"{load.name} a request at half load, {rate:,.0f}/s: p99 {p99 * 1000:.1f} ms\n"
    )
    return p99


async def main(seconds: float) -> int:
    """Measure and print; gives 1 if a target is missed."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(servers())
        await create_ingest_topics(running.kafka)
        url = await running.database()
        one = await stack.enter_async_context(ingest(running.kafka, url, start=execute))
        await one.until_ready()
        key = await one.create_source()
        rivals = {
            kind: await stack.enter_async_context(rival(kind, running.kafka))
            for kind in ("raw", "bare", "textbook")
        }
        contestants = {"ingest": ours(one), **rivals}
        batched = {
            size: (await compare(contestants, batches(key, size), seconds))[0] for size in SIZES
        }
        single, wall = await compare(contestants, singles(key), seconds)
        p99 = await half_load(ours(one), singles(key), wall, seconds)
        two = await stack.enter_async_context(ingest(running.kafka, url, start=execute))
        await two.until_ready()
        both = {"two": ours(one) + ours(two), "one": ours(one)}
        doubled, _ = await compare(both, batches(key), seconds)
    met = (
        *(
            verdict(f"batches, {size} B, part of bare", ratios["bare"], BATCH_PART_OF_BARE)
            for size, ratios in batched.items()
        ),
        verdict("single events, part of bare", single["bare"], SINGLE_PART_OF_BARE),
        verdict("p99 at half load, seconds", p99, P99_AT_HALF_LOAD, most=True),
        verdict("two processes, events per CPU-s beside one", doubled["one"], TWO_BESIDE_ONE),
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else SECONDS)))
