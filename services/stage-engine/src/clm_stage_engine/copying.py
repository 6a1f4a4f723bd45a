"""A copy of the river: every committed fact once more, as the bytes it is, on a topic of its own.

Each partition whose facts are numbered is a lane. A lane's position stands in Kafka, written in the
same transaction as the facts, as the live river's does: broken off anywhere and begun again, a copy
holds every fact once. The lanes take turns, so that what belongs together stays near.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from clm_common.bus.ports import Message, Publisher, Reader
from clm_common.contracts.topics import JOURNEY
from clm_common.runtime.relay import Outbox, Pieces
from clm_stage_engine.core import river

CHUNK: Final = 2_000
"""Facts in memory, and in one transaction, at most."""

Report = Callable[[int], None]
"""Told how many facts, those of earlier runs included, are copied."""


class Lane:
    """The facts of one partition on their way into the copy."""

    def __init__(
        self, facts: Outbox, publisher: Publisher, *, topic: str, workspace: str | None
    ) -> None:
        """Make a lane; `open` it before it advances.

        Args:
            facts: loads what the partition's owner committed.
            publisher: publishes to the copy and keeps the position; nobody else's.
            topic: the copy.
            workspace: whose facts are copied; None copies all.
        """
        self._facts = facts
        self._publisher = publisher
        self._topic = topic
        self._source = None if workspace is None else river.source_of(workspace)
        self.copied = 0

    async def open(self) -> None:
        """Learn how far earlier runs came.

        Raises:
            Unavailable: no broker answers.
        """
        self.copied = await self._publisher.open()

    async def advance(self) -> int:
        """Copy the next facts, and give how many there were; fewer than `CHUNK`: it has caught up.

        Raises:
            OwnershipLost: another run copies to the same topic now.
            Unavailable: PostgreSQL or Kafka is away; a later run goes on without a gap.
        """
        last, pieces = await self._facts(self.copied, CHUNK)
        found = last - self.copied
        if found:
            await self._publisher.publish(self._wanted(pieces), seq=last)
            self.copied = last
        return found

    def _wanted(self, pieces: Pieces) -> Pieces:
        for piece in pieces:
            yield [
                msgspec.structs.replace(message, topic=self._topic)
                for message in piece
                if message.topic == JOURNEY.name and self._is_in_workspace(message)
            ]

    def _is_in_workspace(self, message: Message) -> bool:
        return self._source is None or self._source in message.all_headers()


async def copy(lanes: Sequence[Lane], reader: Reader, report: Report) -> dict[int, int]:
    """Copy the river up to now, and say where its live topic goes on.

    What stands before these offsets was committed in the rows before it was published, and the
    rows are read once more after the offsets were taken: it is all in the copy. What was published
    while that last look was taken is in both.

    Args:
        lanes: all of them, opened.
        reader: reads committed records only.
        report: told from time to time how far it is.

    Returns:
        Per partition of `clm.journey`, the offset from which a subscriber reads on.

    Raises:
        OwnershipLost: another run copies to the same topic now.
        Unavailable: PostgreSQL or Kafka is away.
    """
    await _catch_up(lanes, report)
    ends = await reader.end_offsets(JOURNEY.name)
    await _catch_up(lanes, report)
    return ends


async def _catch_up(lanes: Sequence[Lane], report: Report) -> None:
    behind = list(lanes)
    while behind:
        behind = [lane for lane in behind if await lane.advance() == CHUNK]
        report(sum(lane.copied for lane in lanes))
