"""What the history costs: bytes on disk, writing by month, asking for months, one long export.

Storage: touchpoints of a year are folded by the worker into an empty database; then every table's
heap and indexes are counted, per touchpoint. Writing: the same rows are copied into the table by
month and into a plain one with the same indexes, alternating; what counts is the CPU time of
PostgreSQL's own process. Target: at most 1.2. Export: one person's document, its peak of memory.
Run: `python -m benchmarks.bench_history [TOUCHPOINTS]`.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.support import Servers, servers
from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.clock import ManualClock, SystemClock
from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, SECOND, to_datetime
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_stage_engine.queries.exporting import export
from clm_stage_engine.store import SCHEMA
from clm_stage_engine.store import reading as load
from clm_stage_engine.store.months import Months
from tests.support.engine import Engine
from tests.support.touchpoints import touchpoint

PEOPLE: Final = 5_000
LONGEST: Final = 100_000
BATCH: Final = 6_000
ROUNDS: Final = 9
READERS: Final = 300
FLAT: Final = "flat"
EVENTS: Final = ("Product Viewed", "Products Searched", "Cart Viewed", "Product Added")

_SIZES: Final = """
    SELECT root.relname AS name,
        sum(pg_table_size(leaf.relid)) AS heap, sum(pg_indexes_size(leaf.relid)) AS indexes
    FROM pg_class root CROSS JOIN LATERAL (
        SELECT relid FROM pg_partition_tree(root.oid) WHERE isleaf
        UNION SELECT root.oid WHERE root.relkind = 'r'
    ) AS leaf
    WHERE root.relnamespace = 'stage_engine'::regnamespace AND NOT root.relispartition
        AND root.relkind IN ('r', 'p')
        AND root.relname IN ('history', 'stage_change', 'explanation', 'profile', 'identity')
    GROUP BY 1 ORDER BY 1
"""
_ROWS: Final = (
    "SELECT partition, seq, identity_id, profile_id, version, time, received_at, untimed,"
    " source, message_id, body FROM history ORDER BY partition, seq LIMIT $1"
)
_COLUMNS: Final = (
    "partition",
    "seq",
    "identity_id",
    "profile_id",
    "version",
    "time",
    "received_at",
    "untimed",
    "source",
    "message_id",
    "body",
)


def year(count: int, now: int) -> list[Message]:
    """Make a year of touchpoints of some 330 bytes: mostly browsing, now and then an order."""
    chance = random.Random(1)
    step = 360 * DAY // count
    return [
        touchpoint(
            now - 360 * DAY + number * step,
            user=f"person-{chance.randrange(PEOPLE)}",
            kind="identify" if number % 50 == 0 else "track",
            event="Order Completed" if number % 40 == 1 else chance.choice(EVENTS),
            message_id=f"bench-{number:032d}",
            url="x" * 150,
        )
        for number in range(count)
    ]


async def storage(engine: Engine, count: int) -> None:
    """Fold a year and print what it takes on disk."""
    messages = year(count, SystemClock().now())
    sent = statistics.mean(len(it.value or b"") for it in messages)
    for start in range(0, count, 4 * BATCH):
        await engine.send(*messages[start : start + 4 * BATCH])
        await engine.folded(min(start + 4 * BATCH, count), 600)
    await engine.fetch("VACUUM ANALYZE")
    print(f"{count:,} touchpoints of {PEOPLE:,} people over a year, {sent:.0f} bytes each as sent")
    total = 0.0
    for row in await engine.fetch(_SIZES):
        heap, indexes = (int(row[it]) / count for it in ("heap", "indexes"))
        total += heap + indexes
        print(f"  {row['name']:13} {heap:6.0f} bytes, indexes {indexes:5.0f}  a touchpoint")
    print(f"  {'together':13} {total:6.0f} bytes a touchpoint, {total / sent:.2f} x as sent")


async def flattened(engine: Engine) -> None:
    """Make a plain table of the same rows with the same indexes."""
    await engine.fetch(f"CREATE TABLE {FLAT} (LIKE history INCLUDING ALL)")
    await engine.fetch(f"INSERT INTO {FLAT} SELECT * FROM history ORDER BY partition, seq")  # noqa: S608 - a constant
    await engine.fetch(f"VACUUM ANALYZE {FLAT}")


async def reading(engine: Engine) -> float:
    """Read people's whole history as a re-fold does, alternating; give the same ratio."""
    rows = await engine.fetch("SELECT id FROM identity ORDER BY id")
    chance = random.Random(1)
    people = [chance.sample([row["id"] for row in rows], READERS) for _ in range(10)]
    spent: dict[str, list[float]] = {"history": [], FLAT: []}
    async with engine.database.connection() as db:
        pid = await db.fetchval("SELECT pg_backend_pid()")
        for _ in range(ROUNDS + 1):
            for table, seconds in spent.items():
                statement = load.HISTORY.replace("FROM history", f"FROM {table}")
                began = _cpu(pid)
                for each in people:
                    await db.fetch(statement, each)
                seconds.append(_cpu(pid) - began)
    return _ratio(spent)


async def writing(engine: Engine) -> float:
    """Copy rows by month and flat, alternating; give the ratio of PostgreSQL's CPU time."""
    rows = [tuple(row.values()) for row in await engine.fetch(_ROWS, BATCH)]
    now = to_datetime(SystemClock().now())
    recent = [(*row[:5], now, *row[6:]) for row in rows]
    spent: dict[str, list[float]] = {"history": [], FLAT: []}
    async with engine.database.connection() as db:
        pid = await db.fetchval("SELECT pg_backend_pid()")
        for _ in range(ROUNDS + 1):
            for table, seconds in spent.items():
                seconds.append(await _copied(db, pid, table, recent))
    return _ratio(spent)


def _ratio(spent: dict[str, list[float]]) -> float:
    """Compare the medians, the first round left out."""
    return statistics.median(spent["history"][1:]) / statistics.median(spent[FLAT][1:])


async def _copied(
    db: Any, pid: int, table: str, rows: Sequence[tuple[object, ...]]
) -> float:  # Any: asyncpg publishes no types
    began = _cpu(pid)
    for _ in range(10):
        await db.copy_records_to_table(table, records=rows, columns=_COLUMNS)
    return _cpu(pid) - began


def _cpu(pid: int) -> float:
    """Give the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def asking(database: Database) -> float:
    """Give what it costs a touchpoint to ask for its month, ns."""
    clock = SystemClock()
    months, now = Months(database, clock), clock.now()
    times = [now - number for number in range(BATCH)]
    await months.cover(times)
    await months.prepare()
    began = time.process_time()
    for _ in range(200):
        await months.cover([it for it in times])  # noqa: C416 - the handler makes a list, too
    return (time.process_time() - began) / (200 * BATCH) * 1e9


async def exporting(engine: Engine) -> None:
    """Export one person of 100,000 touchpoints, for the time and again for the memory."""
    now = SystemClock().now()
    before = (await engine.fetch("SELECT count(*) AS n FROM history"))[0]["n"]
    for start in range(0, LONGEST, 4 * BATCH):
        numbers = range(start, min(start + 4 * BATCH, LONGEST))
        await engine.send(
            *(touchpoint(now - (LONGEST - n) * SECOND, user="long", event="Seen") for n in numbers)
        )
        await engine.folded(before + numbers[-1] + 1, 600)
    began = time.perf_counter()
    size = await _exported(engine)
    seconds = time.perf_counter() - began
    tracemalloc.start()
    await _exported(engine)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"export of {LONGEST:,} touchpoints: {size / 1e6:.1f} MB in {seconds:.1f} s, "
        f"{peak / 1e6:.1f} MB of memory at most"
    )


async def _exported(engine: Engine) -> int:
    """Export the person; give the bytes."""
    profile, end = profile_id("local", "user_id", "long"), SystemClock().now()
    return sum(
        [len(it) async for it in export(engine.database, "local", profile, to_datetime(end))]
    )


async def run(around: Servers, count: int) -> None:
    """Measure everything once."""
    url = await around.database()
    await migrate(url, package="clm_stage_engine", schema=SCHEMA)
    async with Engine(url, MemoryBroker(), clock=ManualClock(SystemClock().now())) as engine:
        await storage(engine, count)
        await flattened(engine)
        print(f"re-reading by month / flat, PostgreSQL's CPU: {await reading(engine):.2f}")
        print(
            f"writing by month / flat, PostgreSQL's CPU: {await writing(engine):.2f} (target 1.2)"
        )
        print(f"asking for the month: {await asking(engine.database):.0f} ns a touchpoint")
        await exporting(engine)


async def main(count: int) -> None:
    """Start the servers and measure."""
    async with servers() as around:
        await run(around, count)


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 120_000)
    )
