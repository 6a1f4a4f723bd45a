"""Partitions of the history: made before a batch needs them, remembered, and told apart by age.

PostgreSQL puts what has no month of its own into `history_default`; a month that is made later
takes its rows out of there.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Collection, Iterable
from typing import Final

import asyncpg
import structlog

from clm_common.clock import Clock
from clm_common.runtime.handler import Connection
from clm_common.store.database import Database
from clm_stage_engine.core import months
from clm_stage_engine.store import SCHEMA

log = structlog.get_logger()

_LOCK: Final = zlib.crc32(f"clm.months.{SCHEMA}".encode())
_PARTITIONS: Final = """
    SELECT child.relname FROM pg_inherits
    JOIN pg_class child ON child.oid = inhrelid
    WHERE inhparent = 'history'::regclass
"""
_DEFAULT: Final = "history_default"
_SHORT: Final = 1  # second that batches may wait for a month to be dropped
_LONGEST: Final = 600.0  # seconds; somebody's clock may have put a whole month into the default


class Months:
    """The months that have a partition, as one process knows them.

    Asking costs a comparison where a batch lies inside the months that are known; only a batch
    that reaches beyond them takes a connection of its own.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        """Make it; nothing is known yet."""
        self._database = database
        self._clock = clock
        self._known: set[int] = set()
        self._from = self._until = 0
        self._turn = asyncio.Lock()

    async def cover(self, times: Collection[int]) -> None:
        """See that the months of these instants (µs) have partitions.

        Call it before the batch's transaction has touched the history: making a partition waits
        for those that have.

        Raises:
            Unavailable: PostgreSQL is away, or somebody reads the history for too long.
        """
        if not times or (self._from <= min(times) and max(times) < self._until):
            return
        now = self._clock.now()
        wanted = {months.month_of(it) for it in times} - self._known
        await self._make({month for month in wanted if months.is_near(month, now)})

    async def prepare(self) -> list[int]:
        """Make the months ahead; gives all that have a partition.

        Raises:
            Unavailable: PostgreSQL is away, or somebody reads the history for too long.
        """
        await self._make(set(months.ahead(self._clock.now())) - self._known)
        return sorted(self._known)

    async def _make(self, wanted: Collection[int]) -> None:
        """Make partitions, one process and batch at a time: each takes a connection of its own."""
        if not wanted:
            return
        async with self._turn, self._database.transaction() as tx:
            await tx.execute("SET LOCAL transaction_timeout = 0")
            await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            known = await existing(tx)
            for month in sorted(set(wanted) - known):
                await _make(tx, month)
                log.info("history.month_made", month=months.table(month))
        self._learn(known | set(wanted))

    async def drop(self, month: int) -> bool:
        """Drop a month if nothing is in it; tells whether it is gone.

        Looking whether anything is left would read every dead row under a lock that keeps batches
        waiting. So the month is vacuumed first: what is empty then has no pages.

        Raises:
            Unavailable: PostgreSQL is away, or somebody reads the history for too long.
        """
        name = months.table(month)
        async with self._turn:
            await self._vacuum(name)
            async with self._database.transaction() as tx:
                await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                if month in await existing(tx) and not await _drop(tx, name):
                    return False
        self._known.discard(month)
        self._learn(self._known)
        return True

    async def _vacuum(self, name: str) -> None:
        async with self._database.connection() as db:
            await db.execute("SET transaction_timeout = 0")
            try:
                await db.execute(f"VACUUM {name}", timeout=_LONGEST)
            except asyncpg.UndefinedTableError:
                log.debug("history.month_gone", month=name)
            finally:
                await db.execute("RESET transaction_timeout")

    def _learn(self, known: set[int]) -> None:
        self._known |= known
        present = months.month_of(self._clock.now())
        if present in self._known:
            self._from, self._until = months.stretch(self._known, present)


async def existing(tx: Connection) -> set[int]:
    """Give the months that have a partition."""
    rows = await tx.fetch(_PARTITIONS)
    return set(_months(row["relname"] for row in rows))


async def _drop(tx: Connection, name: str) -> bool:
    await tx.execute(f"SET LOCAL lock_timeout = '{_SHORT}s'")
    await tx.execute("LOCK TABLE ONLY history IN ACCESS EXCLUSIVE MODE")
    if await tx.fetchval("SELECT pg_relation_size($1::regclass)", name):
        return False
    await tx.execute(f"DROP TABLE {name}")
    log.info("history.month_dropped", month=name)
    return True


def _months(tables: Iterable[str]) -> Iterable[int]:
    for name in tables:
        if name != _DEFAULT:
            year, month = name.rsplit("_", 2)[1:]
            yield int(year) * 12 + int(month) - 1


async def _make(tx: Connection, month: int) -> None:
    """Attach a month, for which nobody may read the default; writers of other months go on."""
    name, (start, end) = months.table(month), months.bounds(month)
    await tx.execute(f"CREATE TABLE {name} (LIKE history INCLUDING ALL)")
    await tx.execute(f"LOCK TABLE {_DEFAULT} IN ACCESS EXCLUSIVE MODE")
    await tx.execute(
        f"WITH moved AS (DELETE FROM {_DEFAULT} WHERE time >= $1 AND time < $2 RETURNING *) "  # noqa: S608 - names of our own
        f"INSERT INTO {name} SELECT * FROM moved",
        start,
        end,
        timeout=_LONGEST,
    )
    await tx.execute(
        f"ALTER TABLE history ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
    )
