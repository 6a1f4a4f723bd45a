"""Housekeeping: months are made ahead, those that nobody wants kept are told, empty rows go.

No month is dropped yet: a late touchpoint or a new definition folds a profile again from all of
its history. Dropping waits for snapshots to fold from; `months.expired` says what could go.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from clm_common.clock import Clock
from clm_common.errors import Unavailable
from clm_common.instant import DAY, to_datetime
from clm_common.runtime.retry import Backoff, pause
from clm_common.store.database import Database
from clm_stage_engine.core import months
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.store import lateness
from clm_stage_engine.store.months import Months

log = structlog.get_logger()

EVERY: Final = 3600.0
"""Seconds between two looks."""


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
        for workspace in await lateness.workspaces(db):
            before = keeping.cut(workspace, now)
            while before is not None and await lateness.drop(db, workspace, before):
                pass


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
    told: set[int] = set()
    keep_months = keeping.longest
    while not stop.is_set():
        try:
            known = await history.prepare()
            await drop_emptied(database, clock.now())
            await drop_late(database, keeping, clock.now())
        except Unavailable as error:
            await backoff.wait_or_stop(error, stop)
            continue
        backoff.succeeded()
        old = {month for month in known if months.expired(month, clock.now(), keep_months)}
        if old - told:
            log.info("history.kept", months=[*map(months.table, sorted(old))], keep=keep_months)
        told = old
        await pause(stop, EVERY)
