"""Print how fast a changed lifecycle is compared over a stored history, and in how much memory.

A year of touchpoints is folded by the worker; then `reach` with other windows is held against it:
read out of PostgreSQL through a cursor, and folded by both definitions. Target: at least 100,000
touchpoints a second folded by one core once they are read; reading is told apart.
Run: `python -m benchmarks.bench_diff [TOUCHPOINTS]`.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from typing import Final

import uvloop

from benchmarks.bench_history import BATCH, PEOPLE, year
from benchmarks.support import Servers, servers
from clm_common.bus.memory import MemoryBroker
from clm_common.clock import ManualClock, SystemClock
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_stage_engine import definitions
from clm_stage_engine.changing.comparison import Comparison, Place, Question
from clm_stage_engine.core.eras import Course
from clm_stage_engine.queries import people
from clm_stage_engine.store import SCHEMA
from tests.support.engine import REACH, Engine

ROUNDS: Final = 3
_REACH: Final = (definitions.SHIPPED / "reach.yaml").read_text()


def comparison(now: int) -> Comparison:
    """Hold `reach` with longer windows against `reach`."""
    tried = definitions.parse(_REACH.replace("180d", "90d").replace("120d", "60d"))
    question = Question(tried.digest, REACH.digest, None, 1.0, 3)
    return Comparison(Course.of(tried), Course.of(REACH), Place(question, now))


async def measure(url: str) -> None:
    """Compare some times; print each."""
    now = SystemClock().now()
    async with Database(url, schema=SCHEMA, name="diff", seconds=people.SECONDS) as database:
        for _ in range(ROUNDS):
            answer = await comparison(now).run(database, lambda _: None)
            pace, moved = answer.pace, sum(it.people for it in answer.moved)
            print(
                f"{answer.people:,} people, {answer.touchpoints:,} touchpoints, {moved:,} moved: "
                f"read {pace.read_per_second:,} a second, folded twice {pace.folded_per_second:,}"
            )
        tracemalloc.start()
        await comparison(now).run(database, lambda _: None)
        print(f"memory at most: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
        tracemalloc.stop()


async def run(around: Servers, count: int) -> None:
    """Fill a database, then measure."""
    url = await around.database()
    await migrate(url, package="clm_stage_engine", schema=SCHEMA)
    messages = year(count, SystemClock().now())
    async with Engine(url, MemoryBroker(), clock=ManualClock(SystemClock().now())) as engine:
        for start in range(0, count, 4 * BATCH):
            await engine.send(*messages[start : start + 4 * BATCH])
            await engine.folded(min(start + 4 * BATCH, count), 600)
        await engine.fetch("VACUUM ANALYZE")
    print(f"{count:,} touchpoints of {PEOPLE:,} people over a year")
    await measure(url)


async def main(count: int) -> None:
    """Start the servers and measure."""
    async with servers() as around:
        await run(around, count)


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
    )
