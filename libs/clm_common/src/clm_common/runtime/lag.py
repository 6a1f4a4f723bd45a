"""Tells how many records wait, for dashboards and autoscaling."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from clm_common import telemetry
from clm_common.bus.ports import Reader
from clm_common.errors import Unavailable
from clm_common.runtime.retry import pause

log = structlog.get_logger()

LAG: Final = 5.0
"""Seconds between two looks."""


async def watch_lag(
    topic: str, reader: Reader, offsets: Callable[[], Mapping[int, int]], stop: asyncio.Event
) -> None:
    """Look until told to stop.

    Args:
        topic: whose records.
        reader: knows the ends of its partitions.
        offsets: gives the next offset of each partition that is held.
        stop: ends it.
    """
    while not stop.is_set():
        try:
            ends = await reader.end_offsets(topic) if offsets() else {}
            lag = sum(ends[it] - at for it, at in offsets().items() if it in ends)
            telemetry.WORKER_LAG.labels(topic).set(max(0, lag))
        except Unavailable:
            log.debug("worker.lag_unknown", topic=topic)
        await pause(stop, LAG)
