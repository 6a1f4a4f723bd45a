"""Housekeeping: months are made ahead, old ones are folded away and dropped, empty rows go.

What lies in a month that nobody wants any more is let go in three steps, each of which may be
broken off at any instant: the workspace's floor is raised; the partitions' owners fold what is
older into snapshots (see `retention`); a month that is empty is dropped.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from clm_common.clock import Clock
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import Unavailable
from clm_common.instant import DAY, to_datetime
from clm_common.runtime.retry import Backoff, pause
from clm_common.store.database import Database
from clm_stage_engine.core import months
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.store import floors, lateness
from clm_stage_engine.store.months import Months, existing
from clm_stage_engine.store.workspaces import workspaces

log = structlog.get_logger()

EVERY: Final = 3600.0
"""Seconds between two looks."""

GRACE: Final = TOUCHPOINTS.retention_ms * 1_000 + DAY
"""How long (µs) a month outstays its time: what was received in time may wait in Kafka."""

_DROP_EMPTIED: Final = """
    WITH old AS (
        DELETE FROM profile_erased WHERE at < $1
        RETURNING profile_id, version)
    DELETE FROM profile USING old
    WHERE profile.id = old.profile_id AND profile.version = old.version AND stage IS NULL
"""

EMPTY: Final = 28 * DAY
"""How long empty rows stay: longer than any subscriber's, see `clm_common.runtime.confirming`."""


async def drop_emptied(database: Database, now: int) -> None:
    """Delete the empty rows that erased people left, when no older message can be about.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with database.connection() as db:
        await db.execute(_DROP_EMPTIED, to_datetime(now - EMPTY))


async def drop_late(database: Database, keeping: Keeping, now: int) -> None:
    """Delete late touchpoints that were kept for as long as their workspace's history is.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with database.connection() as db:
        for workspace in await workspaces(db, "late_touchpoint"):
            before = keeping.cut(workspace, now)
            while before is not None and await lateness.drop(db, workspace, before):
                pass


async def raise_floors(database: Database, keeping: Keeping, now: int) -> None:
    """Say of each workspace that has something older from when on it is kept.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with database.connection() as db:
        for workspace in await workspaces(db, "profile"):
            since = keeping.cut(workspace, now - GRACE)
            if since is not None and await floors.has_older(db, since):
                await floors.raise_to(db, workspace, since)


async def drop_months(database: Database, history: Months, keeping: Keeping, now: int) -> None:
    """Drop the months that no workspace keeps, once they are empty.

    Somebody may have come by older touchpoints while people were looked at, by an identity that
    moved: where a month is not empty after all have been folded away, all are looked at again.

    Raises:
        Unavailable: PostgreSQL is away, or somebody reads the history for too long.
    """
    async with database.connection() as db:
        known = await existing(db)
        old = [it for it in sorted(known) if months.expired(it, now - GRACE, keeping.longest)]
        if not old or not await floors.are_done(db, TOUCHPOINTS.partitions):
            return
    left = [it for it in old if not await history.drop(it)]
    if left:
        log.warning("history.months_left", months=[months.table(it) for it in left])
        async with database.connection() as db:
            await floors.look_again(db)


async def keep(
    database: Database, history: Months, clock: Clock, keeping: Keeping, stop: asyncio.Event
) -> None:
    """Look after the history until `stop` is set.

    Args:
        database: the service's schema.
        history: its partitions.
        clock: tells the present month.
        keeping: how long workspaces want it.
        stop: set it to end.
    """
    backoff = Backoff("housekeeping")
    while not stop.is_set():
        try:
            await history.prepare()
            await drop_emptied(database, clock.now())
            await drop_late(database, keeping, clock.now())
            await raise_floors(database, keeping, clock.now())
            await drop_months(database, history, keeping, clock.now())
        except Unavailable as error:
            await backoff.wait_or_stop(error, stop)
            continue
        backoff.succeeded()
        await pause(stop, EVERY)
