"""Upkeep: figures whose meaning or days have changed are made anew from the entries."""

from __future__ import annotations

from typing import Final

import structlog

from clm_common.store.database import Database
from clm_metrics import store
from clm_metrics.core.calendar import Zones

log = structlog.get_logger()

LONGEST: Final = 3600.0
"""Seconds that making one workspace's figures anew may take."""


async def align(database: Database, zones: Zones) -> None:
    """Make anew the figures of workspaces that report in another time zone than they were kept by.

    Likewise those of an older `core.ledger.REVISION`. Each workspace is one transaction, so that
    it may be broken off and repeated.

    Args:
        database: one whose transactions may last.
        zones: which time zone each workspace reports in.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with database.connection() as db:
        waiting = await store.outdated(db, zones)
    for workspace, calendar in waiting.items():
        async with database.transaction() as tx:
            await store.rebuild(tx, workspace, calendar)
        log.info("figures.rebuilt", workspace=workspace, time_zone=calendar.name)
