"""One person of very many touchpoints is merged while others live on: what they feel of it.

    python -m benchmarks.bench_merge [TOUCHPOINTS]

A visitor is identified as a customer of 100,000 touchpoints, so that all are folded again.
Meanwhile others send touchpoints on the same partition and on another one, and the loop is watched:
leases, relays and HTTP live on it. Targets: the loop waits at most a tenth of what the merge takes,
others on the partition, or on another one, at most half: nobody waits until it is done.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import time
from typing import Final

import structlog
import uvloop
from msgspec import Struct

from benchmarks.support import servers, verdict
from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.clock import ManualClock, SystemClock
from clm_common.instant import SECOND
from clm_common.store.migrations import migrate
from clm_stage_engine.profiles import LOST
from clm_stage_engine.store import SCHEMA
from tests.support.engine import Engine
from tests.support.touchpoints import neighbour, touchpoint

TOUCHPOINTS: Final = 100_000
ROUNDS: Final = 3
CHUNK: Final = 20_000
TICK: Final = 0.002
"""Seconds the watch sleeps at a time."""

GIANT: Final = "giant"


class Felt(Struct):
    """What was felt of one merge, in seconds.

    Attributes:
        merge: from the identify to the commit of what follows from the folding.
        stall: the longest the loop was not given back.
        same: the longest a touchpoint behind it on the same partition waited.
        other: the longest one on another partition waited.
    """

    merge: float
    stall: float
    same: float
    other: float


class Watch:
    """Measures how long the loop is not given back."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last), now

    def stop(self) -> float:
        """Give the longest, and stop."""
        self._task.cancel()
        return self.longest


async def waited(engine: Engine, message: Message, message_id: str) -> float:
    """Send a touchpoint; give the seconds until it is committed."""
    began = time.perf_counter()
    await engine.send(message)
    stored = "SELECT FROM history WHERE message_id = $1"
    while not await engine.fetch(stored, message_id):  # noqa: ASYNC110 - another task's doing
        await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def live(engine: Engine, user: str, at: int, stop: asyncio.Event) -> float:
    """Send one touchpoint after the other; give the longest any of them waited."""
    longest, number = 0.0, 0
    while not stop.is_set():
        number += 1
        name = f"{user}-{at}-{number}"
        message = touchpoint(at + number, user=user, event="Product Viewed", message_id=name)
        longest = max(longest, await waited(engine, message, name))
        await asyncio.sleep(0.02)
    return longest


async def merge(engine: Engine, number: int, at: int) -> Felt:
    """Identify one more visitor as the giant, while others live on."""
    visitor = f"visitor-{number}"
    seen = touchpoint(at, anonymous=visitor, event="Product Viewed")
    await engine.send(seen)
    await engine.settled()
    watch, stop = Watch(), asyncio.Event()
    name = f"merge-{number}"
    link = touchpoint(at + SECOND, user=GIANT, anonymous=visitor, kind="identify", message_id=name)
    began = time.perf_counter()
    noted = asyncio.create_task(waited(engine, link, name))
    await asyncio.sleep(0.05)
    lives = [
        asyncio.create_task(live(engine, neighbour(GIANT, same=it), at, stop))
        for it in (True, False)
    ]
    await noted
    while await engine.fetch("SELECT FROM profile WHERE definition = $1", LOST):  # noqa: ASYNC110 - another task's doing
        await asyncio.sleep(0.01)
    took = time.perf_counter() - began
    stop.set()
    same, other = await asyncio.gather(*lives)
    return Felt(took, watch.stop(), same, other)


async def main(count: int) -> int:
    """Make the giant, and print what each merge made others feel; gives 1 if it was too much."""
    felt: list[Felt] = []
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with servers() as around:
        url = await around.database()
        await migrate(url, package="clm_stage_engine", schema=SCHEMA)
        now = SystemClock().now()
        async with Engine(url, MemoryBroker(), clock=ManualClock(now)) as engine:
            begin = now - (count + 1_000) * SECOND
            for start in range(0, count, CHUNK):
                numbers = range(start, min(start + CHUNK, count))
                await engine.send(
                    *(
                        touchpoint(begin + it * SECOND, user=GIANT, event="Product Viewed")
                        for it in numbers
                    )
                )
                await engine.folded(numbers[-1] + 1, 600)
            for number in range(ROUNDS):
                it = await merge(engine, number, now - (500 - number * 10) * SECOND)
                print(
                    f"{count:,} touchpoints merged in {it.merge:.2f} s: the loop waited "
                    f"{it.stall:.3f} s at most, others on the partition {it.same:.2f} s, on "
                    f"another one {it.other:.2f} s",
                    flush=True,
                )
                felt.append(it)
    met = [
        verdict(f"{who} : merge", statistics.median(shares), target, most=True)
        for who, shares, target in (
            ("the loop's wait", [it.stall / it.merge for it in felt], 0.1),
            ("others' on the partition", [it.same / it.merge for it in felt], 0.5),
            ("others' on another one", [it.other / it.merge for it in felt], 0.5),
        )
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else TOUCHPOINTS)))
