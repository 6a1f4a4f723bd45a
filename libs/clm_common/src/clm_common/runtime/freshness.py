"""Keeps what stands in memory fresh: reads it again and again, whatever becomes of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from msgspec import Struct

from clm_common.errors import Unavailable
from clm_common.runtime.retry import pause

log = structlog.get_logger()


class Reading(Struct, frozen=True):
    """How something is read again and again.

    Attributes:
        every: seconds between two readings.
        patience: seconds a reading may take before it is given up and tried again.
        kept: the log event when readings begin to fail, and what was read last is kept.
        back: the log event when they succeed again.
        tolerated: failures that are waited out, besides a reading that takes too long.
    """

    every: float
    patience: float
    kept: str
    back: str
    tolerated: tuple[type[Exception], ...] = (Unavailable,)


async def keep_fresh(
    refresh: Callable[[], Awaitable[None]], how: Reading, stop: asyncio.Event
) -> None:
    """Call `refresh` until told to stop; of failures in a row only the first is logged."""
    tolerated: tuple[type[Exception], ...] = (TimeoutError, *how.tolerated)
    failing = False
    while not stop.is_set():
        try:
            async with asyncio.timeout(how.patience):
                await refresh()
            if failing:
                log.info(how.back)
            failing = False
        except tolerated as error:
            if not failing:
                log.warning(how.kept, reason=str(error) or "timeout")
            failing = True
        await pause(stop, how.every)
