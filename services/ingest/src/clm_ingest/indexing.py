"""Keeps the quarantine's index: every record of the topic of dead letters becomes a row."""

from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Final

from msgspec import Struct

from clm_common.bus.ports import Record
from clm_common.contracts.topics import TOUCHPOINTS_DLQ
from clm_common.runtime.handler import Connection, Refusal
from clm_common.store.offsets import Claim
from clm_ingest.core.letters import Entry, entry_of
from clm_ingest.store import letters

PRUNED_EVERY: Final = 3_600.0
"""Seconds between two removals of rows whose originals are gone."""

_KEPT: Final = timedelta(milliseconds=TOUCHPOINTS_DLQ.retention_ms)


class Indexed(Struct, frozen=True):
    """What a batch adds to the index; nothing is written yet.

    Attributes:
        entries: the lines.
        prune: old rows go, too.
    """

    entries: Sequence[Entry]
    prune: bool = False

    @property
    def facts(self) -> int:
        """Nothing is published."""
        return 0

    @property
    def refused(self) -> Sequence[Refusal]:
        """Nothing is refused: what is no dead letter is listed as such."""
        return ()

    async def write(self, tx: Connection, first_seq: int) -> None:  # noqa: ARG002 - a Batch's
        """Write the lines."""
        await letters.add(tx, self.entries)
        if self.prune:
            await letters.prune(tx, _KEPT)

    def committed(self) -> None:
        """Nothing is kept in memory."""


class Indexer:
    """Handles the topic of dead letters."""

    def __init__(self) -> None:
        self._pruned = 0.0

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Indexed:  # noqa: ARG002 - a Handler's
        """Read what the index says of each record."""
        return Indexed([entry_of(record) for record in records])

    async def wake(self, tx: Connection) -> Indexed | None:  # noqa: ARG002 - a Handler's
        """Have old rows removed now and then."""
        if monotonic() - self._pruned < PRUNED_EVERY:
            return None
        self._pruned = monotonic()
        return Indexed((), prune=True)

    def forget(self) -> None:
        """Nothing is kept in memory."""

    async def close(self) -> None:
        """Nothing is open."""


async def open_indexer(claim: Claim) -> Indexer:  # noqa: ARG001 - an OpenHandler's
    """Make the handler of a partition that was just taken."""
    return Indexer()
