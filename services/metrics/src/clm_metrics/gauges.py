"""The domain's gauges at `/metrics`: the people in each stage, read from the kept figures."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from clm_common import telemetry
from clm_common.errors import Unavailable
from clm_common.runtime.retry import Backoff
from clm_common.store.database import Database
from clm_metrics import queries

EVERY: Final = 10.0
"""Seconds between two readings."""


async def keep(database: Database, stop: asyncio.Event, *, every: float = EVERY) -> None:
    """Keep the gauges current until `stop` is set; while PostgreSQL is away they stand still."""
    backoff = Backoff("gauges")
    while not stop.is_set():
        try:
            async with database.connection() as db:
                show(await queries.present(db))
            backoff.succeeded()
        except Unavailable as error:
            await backoff.wait(error)
            continue
        try:
            await asyncio.wait_for(stop.wait(), every)
        except TimeoutError:
            continue


def show(people: Mapping[tuple[str, str, str], int]) -> None:
    """Set the gauges: by workspace, lifecycle and stage; what is absent is shown no longer."""
    telemetry.STAGE_PEOPLE.clear()
    for labels, count in people.items():
        telemetry.STAGE_PEOPLE.labels(*labels).set(count)
