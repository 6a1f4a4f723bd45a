"""A schema with nothing but the tables of the fence, and a look at who owns what."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection

import asyncpg

from clm_common.store.database import Database
from clm_common.store.offsets import TABLES

SCHEMA = "shop"
TOPIC = "clm.touchpoints"

_LOOK = 0.05
"""Seconds between two looks at who owns what."""

_FACTS = """
    CREATE TABLE fact (
        partition integer,
        seq bigint,
        at_offset bigint,
        epoch bigint,
        owner text,
        PRIMARY KEY (partition, seq),
        UNIQUE (partition, at_offset)
    )
"""


async def create_schema(url: str) -> None:
    """Make the schema: the tables of the fence, and facts that count batches."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE SCHEMA {SCHEMA}; SET search_path = {SCHEMA}")
        for statement in (*TABLES, _FACTS):
            await connection.execute(statement)
    finally:
        await connection.close()


async def owners(db: Database) -> dict[int, str | None]:
    """Tell who owns each partition by a lease that holds."""
    async with db.connection() as raw:
        rows = await raw.fetch(
            "SELECT partition, CASE WHEN lease_until > clock_timestamp() THEN owner END AS owner"
            " FROM consumer_partition WHERE topic = $1",
            TOPIC,
        )
    return {row["partition"]: row["owner"] for row in rows}


def is_even(found: dict[int, str | None], workers: Collection[str], partitions: int) -> bool:
    """Tell whether these workers own everything, each as much as the others (or one less)."""
    held = Counter(found.values())
    smallest = partitions // len(workers)
    return (
        len(found) == partitions
        and set(held) == set(workers)
        and all(count - smallest in {0, 1} for count in held.values())
    )


async def until_even(
    db: Database, workers: Collection[str], partitions: int, *, within: float
) -> float:
    """Wait until these workers share all partitions evenly, and give the seconds it took.

    Of a look that took longer than two usual ones, the rest does not count: then the machine had
    no time for the observer, and so none for the workers either.
    """
    spent, began = 0.0, time.monotonic()
    found: dict[int, str | None] = {}
    while spent < within:
        before = time.monotonic()
        found = await owners(db)
        if is_even(found, workers, partitions):
            return time.monotonic() - began
        await asyncio.sleep(_LOOK)
        spent += min(time.monotonic() - before, 2 * _LOOK)
    message = f"not shared evenly by {workers} within {within} s: {found}"
    raise AssertionError(message)


async def wrongs(db: Database) -> list[str]:
    """Find what the fence must have prevented: gaps, doubles, and epochs that go backwards."""
    async with db.connection() as raw:
        rows = await raw.fetch(
            """
            SELECT f.partition, count(*) AS facts, min(f.seq) AS first, max(f.seq) AS last,
                p.next_seq, p.next_offset
            FROM fact AS f JOIN consumer_partition AS p USING (partition)
            GROUP BY f.partition, p.next_seq, p.next_offset
            """
        )
        backwards = await raw.fetch(
            """
            SELECT partition, seq FROM (
                SELECT partition, seq, epoch,
                    lag(epoch) OVER (PARTITION BY partition ORDER BY seq) AS before
                FROM fact
            ) AS steps WHERE epoch < before
            """
        )
    gaps = [
        f"partition {row['partition']}: {dict(row)}"
        for row in rows
        if not row["facts"] == row["last"] == row["next_seq"] - 1 == row["next_offset"]
        or row["first"] != 1
    ]
    return gaps + [f"epoch goes back at {dict(row)}" for row in backwards]
