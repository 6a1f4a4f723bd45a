"""What an engine process holds in memory, with many more people than it may keep.

    python -m benchmarks.bench_engine_memory [PEOPLE]

Everybody sends one touchpoint, then again one in other order, so that nearly nobody is still in
memory. A partition may keep a hundredth of all people (1,000 at least). The memory is looked at
when that many have come, and as its peak afterwards.
Target: at most 1.25 times as much at the peak: what is kept is bounded by the setting, not by how
many people there are.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
import uvloop

from benchmarks.engines import WITHIN, Engines, engines
from benchmarks.support import servers, verdict
from clm_common.bus.kafka import GroupProducer
from clm_common.clock import SystemClock
from clm_common.contracts.topics import PARTITIONS
from clm_common.instant import HOUR
from tests.support.touchpoints import touchpoint

PEOPLE: Final = 1_000_000
CHUNK: Final = 5_000
AHEAD: Final = 100_000
"""Touchpoints sent and not folded, at most: the topic's backlog is nobody's memory here."""

LEAST: Final = 1_000
"""Profiles that a partition keeps at least, by the engine's own settings."""

GROWTH: Final = 1.25


def visits(people: int) -> Iterator[int]:
    """Give people by number: all of them, and all of them again, shuffled."""
    again = list(range(people))
    random.Random(1).shuffle(again)
    yield from range(people)
    yield from again


async def feed(running: Engines, numbers: Sequence[int], sent: int) -> None:
    """Send everybody's next touchpoint, no faster than they are folded."""
    begin = SystemClock().now() - 10 * HOUR
    async with GroupProducer(running.kafka) as producer:
        for start in range(0, len(numbers), CHUNK):
            some = numbers[start : start + CHUNK]
            await producer.publish(
                [
                    touchpoint(
                        begin + sent + start + place,
                        user=f"person-{number}",
                        event="Product Viewed",
                        message_id=f"memory-{sent + start + place}",
                    )
                    for place, number in enumerate(some)
                ]
            )
            await folded(running, sent + start + len(some) - AHEAD)
    await folded(running, sent + len(numbers))


async def folded(running: Engines, count: int) -> None:
    """Wait until so many touchpoints are folded."""
    async with asyncio.timeout(WITHIN):
        while await running.folded() < count:
            running.alive()
            await asyncio.sleep(0.05)


async def highest(running: Engines, found: list[float]) -> None:
    """Note what is held, again and again, until cancelled."""
    while True:
        found.append(running.memory)
        await asyncio.sleep(0.2)


async def main(people: int) -> int:
    """Measure and print; gives 1 if the target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    limit = max(LEAST, people // 100)
    setting = {"CLM_CACHED_PROFILES": str(limit)}
    numbers = list(visits(people))
    # Memory is full when every partition has met four times as many as it keeps, and the largest
    # batches: what a batch needs while it is decided grows with the backlog, to its own bound.
    full = min(len(numbers) // 4, max(4 * limit * PARTITIONS, 12_000))
    async with servers() as around, engines(around, environment=setting) as running:
        empty = running.memory
        await feed(running, numbers[:full], 0)
        filled = running.memory
        looks = [filled]
        looking = asyncio.create_task(highest(running, looks))
        try:
            await feed(running, numbers[full:], full)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        stored = await running.count("SELECT count(*) FROM stage_engine.profile")
    if stored != people:
        raise SystemExit(f"{people} people were sent, {stored} are stored")
    print(
        f"{people:,} people, {limit:,} kept per partition: {empty:.0f} MB at the start, "
        f"{filled:.0f} MB when full, {max(looks):.0f} MB at most, {looks[-1]:.0f} MB at the end"
    )
    met = verdict("memory at most : when full", max(looks) / filled, GROWTH, most=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if sys.argv[1:] else PEOPLE)))
