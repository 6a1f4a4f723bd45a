"""Reads the touchpoints of a workspace from Kafka, the last ones or those of a time range."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from msgspec import Struct

from clm_common.bus.ports import Reader, Record
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.contracts.touchpoint import source_of
from clm_common.errors import InvalidMessage

BATCH = 5_000
WAIT = 1.0


class Range(Struct, frozen=True):
    """Which touchpoints are wanted.

    Attributes:
        workspace: the workspace's key.
        source: only of this source.
        last: so many of the newest records are looked at, over all workspaces; None is all.
        since: received at or after.
        until: received before.
    """

    workspace: str
    source: str | None = None
    last: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def wants(self, record: Record) -> bool:
        """Tell whether a record is one of them."""
        at = record.timestamp / 1000
        if self.since is not None and at < self.since.timestamp():
            return False
        if self.until is not None and at >= self.until.timestamp():
            return False
        try:
            workspace, source = source_of(dict(record.headers).get("ce_source", b"").decode())
        except (InvalidMessage, UnicodeDecodeError):
            return False
        return workspace == self.workspace and self.source in {None, source}


Report = Callable[[int, int], None]
"""Told how many of how many records were looked at."""


async def records(reader: Reader, wanted: Range, report: Report) -> AsyncGenerator[Record]:
    """Give the wanted records, up to what the topic holds now.

    Raises:
        Unavailable: Kafka is away.
    """
    ends = await reader.end_offsets(TOUCHPOINTS.name)
    starts = _starts(ends, wanted.last)
    if wanted.since is not None:
        at = math.floor(wanted.since.timestamp() * 1000)
        reached = await reader.offsets_at(TOUCHPOINTS.name, at)
        starts = {partition: max(start, reached[partition]) for partition, start in starts.items()}
    left = {partition: end for partition, end in ends.items() if end > starts[partition]}
    total, looked = sum(end - starts[each] for each, end in left.items()), 0
    reader.assign({(TOUCHPOINTS.name, each): starts[each] for each in left})
    idle = 0
    while left and idle < 5:  # noqa: PLR2004 - seconds of silence: the rest has been removed
        batches = await reader.read(limit=BATCH, wait=WAIT)
        idle = 0 if batches else idle + 1
        for (_, partition), found in batches.items():
            looked += len(found)
            for record in found:
                if record.offset < ends[partition] and wanted.wants(record):
                    yield record
            if found[-1].offset + 1 >= ends[partition]:
                left.pop(partition, None)
        report(min(looked, total), total)


def _starts(ends: dict[int, int], last: int | None) -> dict[int, int]:
    """Give where to begin: the newest records are spread over the partitions as all are."""
    total = sum(ends.values())
    if last is None or total <= last:
        return dict.fromkeys(ends, 0)
    return {partition: end - round(end * last / total) for partition, end in ends.items()}
