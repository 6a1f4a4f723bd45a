"""How many messages of the river metrics handles per second, on a real PostgreSQL.

Batches of 500 and 3,000 records are decided, fenced and written as the worker does it: once with
one stage change in twenty messages (a shop's usual day), once with nothing but stage changes (the
worst of replays). Then the API's questions are timed. Per CPU-second of this process; PostgreSQL
has its own. Run: `python -m benchmarks.bench_metrics [MESSAGES]`.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec
import uvloop

from benchmarks.support import servers
from clm_common.bus.memory import MemoryRecord
from clm_common.clock import SystemClock
from clm_common.contracts.ids import change_id, profile_id
from clm_common.contracts.journey import JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import DAY, to_rfc3339
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_common.store.offsets import Leases, fence
from clm_metrics.board import Asked, Board, load_kpis
from clm_metrics.core.calendar import Zones
from clm_metrics.handlers import JourneyHandler
from clm_metrics.store import SCHEMA

STAGES = ("reach", "acquisition", "conversion", "retention", "loyalty")
NOW = SystemClock().now()
EVENT = msgspec.Raw(
    b'{"type":"track","event":"Product Viewed","messageId":"m","userId":"u","properties":'
    b'{"product_id":"p-1","name":"Mug","price":12.5,"currency":"EUR"},"context":{"page":'
    b'{"url":"https://shop.example.com/mug"},"campaign":{"source":"newsletter"}}}'
)


def river(messages: int, share: float, chance: random.Random) -> list[bytes]:
    """Make messages of which this share are stage changes, over 90 days."""
    at: dict[int, tuple[int, int, int]] = {}
    people = max(1, int(messages * share / 3))
    found: list[JourneyMessage] = []
    for number in range(messages):
        who = chance.randrange(people)
        profile = profile_id("bench", "user_id", str(who))
        if chance.random() >= share:
            found.append(
                TouchpointApplied("bench", profile, 1, to_rfc3339(NOW), "web", f"m{number}", EVENT)
            )
            continue
        step, when, version = at.get(who, (0, NOW - chance.randrange(30, 90) * DAY, 1))
        source = STAGES[(step - 1) % 5] if step else None
        target, cause = STAGES[step % 5], f"m{number}"
        found.append(
            StageChange(
                id=change_id(profile, "reach", when, source, target, cause),
                workspace="bench",
                profile_id=profile,
                version=version,
                lifecycle="reach",
                definition="d",
                target=target,
                move="m",
                at=to_rfc3339(when),
                source=source,
                cause=cause,
            )
        )
        at[who] = (step + 1, when + chance.randrange(1, 5 * DAY), version + 1)
    return [msgspec.json.encode(each) for each in found]


async def handled(database: Database, values: Sequence[bytes], size: int) -> tuple[float, float]:
    """Handle messages in batches of a size; gives seconds of the clock and of this process."""
    owner = uuid.uuid4().hex
    leases = Leases(database, topic=owner, partitions=1, owner=owner, lease=30)
    (claim,) = (await leases.beat()).taken
    handler = JourneyHandler(0, Zones("Europe/Berlin"))
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(values), size):
        records = [
            MemoryRecord(JOURNEY.name, 0, start + index, 0, b"k", value, ())
            for index, value in enumerate(values[start : start + size])
        ]
        end = start + len(records)
        async with database.transaction() as tx:
            batch = await handler.decide(tx, records)
            await fence(tx, claim, end=end, facts=0, lease=30)
            await batch.write(tx, 1)
        claim.next_offset = end
    return time.perf_counter() - began, time.process_time() - cpu


async def timed(ask: Callable[[], Awaitable[object]]) -> str:
    """Give the median time of a question, in milliseconds."""
    seconds: list[float] = []
    for _ in range(50):
        began = time.perf_counter()
        await ask()
        seconds.append(time.perf_counter() - began)
    return f"{statistics.median(seconds) * 1000:6.2f} ms"


async def measure(url: str, messages: int) -> None:
    """Print every figure."""
    await migrate(url, package="clm_metrics", schema=SCHEMA)
    async with Database(url, schema=SCHEMA, name="bench", seconds=60) as database:
        for share in (0.05, 1.0):
            for size in (500, 3_000):
                async with database.connection() as db:
                    await db.execute("TRUNCATE stage_entry, day_figure, total_figure, workspace")
                values = river(messages, share, random.Random(1))
                clock, cpu = await handled(database, values, size)
                print(
                    f"{share:4.0%} stage changes, batches of {size:5}: "
                    f"{messages / clock:8,.0f} messages/s, "
                    f"{messages / cpu:8,.0f} per CPU-second of the worker"
                )
        board = Board(database, SystemClock(), load_kpis(), Zones(), {}, "reach")
        print("GET /v1/stages", await timed(lambda: board.stages("bench", None)))
        for kpi in board.kpis.values():
            took = await timed(partial(board.figures, "bench", kpi, Asked()))
            print(f"GET /v1/kpis/{kpi.key}, 30 days, all stages", took)


async def main() -> None:
    """Measure on a database server of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    async with servers() as around:
        await measure(await around.database(), count)


if __name__ == "__main__":
    uvloop.run(main())
