"""What memory ingest takes while Kafka is stopped and senders do not let up.

    python -m benchmarks.bench_ingest_outage [MINUTES]

Kafka is killed under full load. From the first refusal on every answer must be a 503 with
Retry-After, and the process must stay below the ceiling: what its settings allow for bodies, for
what waits for Kafka and for remembered ids, and what an idle process has.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Final

import psutil
import uvloop

from benchmarks.bench_ingest import CONNECTIONS, batches, ours
from benchmarks.load import Order, send
from benchmarks.support import servers
from tests.support.forking import execute
from tests.support.ingest import create_ingest_topics, ingest

MINUTES: Final = 0.5
CEILING: Final = 400  # MiB
_MIB: Final = 1024 * 1024
_SETTLED: Final = 12.0  # seconds until what was on its way is given up


async def highest(process: psutil.Process, running: asyncio.Task[object]) -> float:
    """Give the most memory a process had, in MiB, until a task is done."""
    most = 0
    while not running.done():
        most = max(most, process.memory_info().rss)
        await asyncio.wait({running}, timeout=0.1)
    return most / _MIB


async def main(minutes: float) -> int:
    """Measure and print; gives 1 if a target is missed."""
    async with servers() as running:
        await create_ingest_topics(running.kafka)
        async with ingest(running.kafka, await running.database(), start=execute) as one:
            await one.until_ready()
            load = batches(await one.create_source())
            contestant = ours(one)
            (process,) = contestant.processes
            idle = process.memory_info().rss / _MIB

            def order(seconds: float) -> Order:
                return Order(contestant.ports, load.requests, CONNECTIONS, seconds)

            await send(order(3.0))
            under_load = asyncio.create_task(send(order(_SETTLED)))
            await asyncio.sleep(_SETTLED / 4)
            running.broker.kill()
            most = await highest(process, under_load)
            away = asyncio.create_task(send(order(60 * minutes)))
            most = max(most, await highest(process, away))
            harvest = await away
    met = set(harvest.statuses) == {503} and harvest.advised == harvest.answers and most <= CEILING
    sys.stdout.write(
        f"{'met ' if met else 'MISS'} Kafka away for {minutes:g} min: answers {harvest.statuses},"
        f" with Retry-After {harvest.advised}; idle {idle:.0f} MiB, at most {most:.0f} MiB,"
        f" ceiling {CEILING} MiB\n"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else MINUTES)))
