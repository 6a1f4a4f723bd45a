"""What a service gives the worker: a handler per owned partition, and its decided batches.

The worker owns the transaction, the fence, retries, dead letters and the lease; a handler reads,
decides and writes set-wise. One handler lives as long as the ownership of its partition, so it may
keep what it has loaded in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import Struct

from clm_common.bus.ports import Record
from clm_common.errors import InvalidMessage
from clm_common.store.offsets import Claim

Connection = Any  # Any: asyncpg publishes no types; an asyncpg connection inside a transaction


class Refusal(Struct, frozen=True):
    """A record that can never be processed, and why; the worker puts it into the dead letters."""

    record: Record
    error: InvalidMessage


class Batch(Protocol):
    """What a handler decided about some records; nothing is written yet."""

    @property
    def facts(self) -> int:
        """How many sequence numbers it needs (0 where nothing is published from rows)."""
        ...

    @property
    def refused(self) -> Sequence[Refusal]:
        """The records that can never be processed."""
        ...

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Write it; called inside the transaction, after the fence held.

        Args:
            tx: the connection whose transaction is open.
            first_seq: the first of `facts` sequence numbers.

        Raises:
            RaceLost: a row has changed since `decide` read it; the worker rolls back and retries.
        """
        ...

    def committed(self) -> None:
        """Take note that the transaction is committed: keep caches, hand facts to the relay."""
        ...


class Handler(Protocol):
    """Decides about one partition's records, in order."""

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Batch:
        """Read what is needed and decide; must not write."""
        ...

    async def wake(self, tx: Connection) -> Batch | None:
        """Decide about what fell due without a record; None when nothing did.

        Called between batches, at least twice a second while the partition is owned.
        """
        ...

    def forget(self) -> None:
        """Drop everything kept in memory: a race or the connection was lost."""
        ...

    async def close(self) -> None:
        """The partition is given up; called once."""
        ...


class OpenHandler(Protocol):
    """Makes the handler of a partition that was just taken."""

    async def __call__(self, claim: Claim) -> Handler:
        """Open the handler of `claim.partition`; the lease is held already."""
        ...
