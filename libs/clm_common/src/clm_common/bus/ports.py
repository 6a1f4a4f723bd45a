"""What the code asks of a bus; the Kafka and the memory adapter both give it."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

Headers = Sequence[tuple[str, bytes]]


class Shared(Struct, frozen=True, eq=False):
    """Headers that many messages have; made once for all of them, they are encoded only once.

    Attributes:
        headers: what they are.
    """

    headers: Headers


class Message(Struct, frozen=True, gc=False):
    """One message to publish; its partition follows from its key (see `topics.partition_of`).

    Attributes:
        topic: where it is published.
        key: what keeps it in order.
        value: its content.
        headers: its own headers.
        shared: headers it has in common with others; a reader sees them before its own.
    """

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()
    shared: Shared | None = None

    def all_headers(self) -> list[tuple[str, bytes]]:
        """Give all its headers, as a reader will see them."""
        return [*self.shared.headers, *self.headers] if self.shared else list(self.headers)


class Record(Protocol):
    """One message as it was read; aiokafka's own record fits, so that nothing is copied."""

    @property
    def topic(self) -> str:
        """The topic it was read from."""
        ...

    @property
    def partition(self) -> int:
        """The partition it was read from."""
        ...

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        ...

    @property
    def timestamp(self) -> int:
        """The broker's or producer's stamp, in ms since the epoch."""
        ...

    @property
    def key(self) -> bytes | None:
        """Its key, if any."""
        ...

    @property
    def value(self) -> bytes | None:
        """Its value; None is a tombstone."""
        ...

    @property
    def headers(self) -> Headers:
        """Its headers."""
        ...


class Producer(Protocol):
    """Publishes with group commit: concurrent calls share requests, order per key is kept."""

    def publish(
        self, messages: Sequence[Message]
    ) -> Coroutine[Any, Any, None]:  # Any: nothing is sent in
        """Publish messages in order; once awaited, all in-sync replicas have acknowledged them.

        Messages of one call that share a key keep their order, and so do calls of one task. The
        messages may be taken over by the call itself, but what is wrong is raised when awaited.

        Raises:
            Unavailable: the broker did not acknowledge in time or too much is in flight; what was
                not acknowledged may or may not have landed.
            InvalidMessage: one message alone is larger than the broker takes; nothing was sent.
        """
        ...

    async def ping(self) -> None:
        """Return if publishing works now; raises `Unavailable` otherwise."""
        ...


class Reader(Protocol):
    """Reads partitions that somebody else assigned; it never commits and never rebalances."""

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Set exactly which (topic, partition) are read, and the next offset of newly given ones.

        Partitions that stay keep their position. An offset that the topic no longer holds starts
        at the oldest record there is.
        """
        ...

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read an assigned partition from this offset on; records fetched before are dropped."""
        ...

    async def read(
        self, *, limit: int, wait: float, but: Collection[tuple[str, int]] = ()
    ) -> dict[tuple[str, int], list[Record]]:
        """Give up to `limit` records, in order per partition; waits up to `wait` seconds.

        Only committed records are given (read_committed).

        Args:
            limit: records at most.
            wait: seconds.
            but: assigned partitions that are left alone this time; they keep their position.

        Raises:
            Unavailable: no broker answers.
        """
        ...

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Give, per partition of a topic, the offset the next record will have."""
        ...

    async def offsets_at(self, topic: str, at: int) -> dict[int, int]:
        """Give, per partition, the first offset with a stamp of `at` or later; else the end.

        Args:
            topic: whose.
            at: ms since the epoch, to be compared with `Record.timestamp`.
        """
        ...

    async def ping(self) -> None:
        """Return if the broker answers now; raises `Unavailable` otherwise."""
        ...


class Publisher(Protocol):
    """Publishes one partition's facts exactly once, with the position in the same transaction."""

    async def open(self) -> int:
        """Fence whoever published before and give the last seq published (0 at the beginning)."""
        ...

    async def publish(self, pieces: Iterable[Sequence[Message]], *, seq: int) -> None:
        """Publish messages and the new position `seq` in one transaction.

        On return the transaction is committed. There may be no messages at all.

        Args:
            pieces: the messages, in order, some at a time: read once, and best made while they are
                read, so that what they are made of is still in the processor's cache.
            seq: the position.

        Raises:
            InvalidMessage: a message alone is larger than the broker takes; nothing was published.
            OwnershipLost: another publisher of this partition has started since.
            Unavailable: the broker is away; the transaction may or may not be committed: `open`
                a new publisher to learn which.
        """
        ...

    async def close(self) -> None:
        """End it; an open transaction is aborted."""
        ...
