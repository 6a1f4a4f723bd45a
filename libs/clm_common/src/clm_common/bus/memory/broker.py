"""The broker in memory: partitions, transactions, and switches for faults.

Transactions take an offset for their marker, as they do in Kafka, so offsets have gaps; an open
transaction holds back readers. The broker has switches for faults.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from msgspec import Struct

from clm_common.bus.ports import Headers, Message
from clm_common.clock import Clock, SystemClock
from clm_common.contracts import topics as contract
from clm_common.contracts.topics import Topic, partition_of
from clm_common.errors import Unavailable

CommitFault = Literal["lost", "unclear"]

_MARKER: Final = None


class MemoryRecord(Struct, frozen=True):
    """One record, as `Record` describes it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class MemoryPartition:
    """One partition: records and transaction markers, from offset `oldest` on."""

    def __init__(self) -> None:
        self.oldest = 0
        self._entries: list[MemoryRecord | None] = []
        self._aborted: set[int] = set()
        self._open: dict[str, list[int]] = {}  # transactional id -> the offsets it wrote

    @property
    def end(self) -> int:
        """The offset that comes next."""
        return self.oldest + len(self._entries)

    @property
    def stable_end(self) -> int:
        """The first offset of an open transaction, else the end: readers get no further."""
        return min((offsets[0] for offsets in self._open.values()), default=self.end)

    def committed(self, start: int) -> Iterator[MemoryRecord]:
        """Give the records from an offset on that readers may see."""
        for entry in self._entries[start - self.oldest : self.stable_end - self.oldest]:
            if entry is not None and entry.offset not in self._aborted:
                yield entry

    def append(self, record: MemoryRecord, transaction: str | None) -> None:
        """Append a record, within a transaction or outside of any."""
        if transaction is not None:
            self._open.setdefault(transaction, []).append(record.offset)
        self._entries.append(record)

    def finish(self, transaction: str, *, commit: bool) -> None:
        """Write the marker of a transaction's end, if it wrote anything here."""
        offsets = self._open.pop(transaction, None)
        if offsets is not None:
            self._entries.append(_MARKER)
            if not commit:
                self._aborted.update(offsets)

    def expire(self, before: int) -> None:
        """Drop what is below an offset."""
        del self._entries[: max(0, before - self.oldest)]
        self.oldest = max(self.oldest, before)


class MemoryBroker:
    """Topics in memory, and the faults a broker may have.

    Attributes:
        away: every call raises `Unavailable`.
        full: producers raise `Unavailable` with `bus.full`.
        commit_fault: what happens to the next transaction, once: `lost` leaves it open, as a kill
            before the commit does; `unclear` commits it. Both raise `Unavailable`.
    """

    def __init__(
        self, topics: Iterable[Topic] = contract.ALL, *, clock: Clock | None = None
    ) -> None:
        self.away = False
        self.full = False
        self.commit_fault: CommitFault | None = None
        self._clock = clock or SystemClock()
        self._topics = {
            topic.name: [MemoryPartition() for _ in range(topic.partitions)] for topic in topics
        }
        self._epochs: dict[str, int] = {}
        self._changed = asyncio.Event()

    def records(self, topic: str) -> list[MemoryRecord]:
        """Give all committed records of a topic, partition after partition."""
        return [record for part in self.partitions(topic) for record in part.committed(part.oldest)]

    def partitions(self, topic: str) -> list[MemoryPartition]:
        """Give the partitions of a topic.

        Raises:
            Unavailable: there is no such topic.
        """
        if topic not in self._topics:
            raise Unavailable("bus.away", f"there is no topic {topic}")
        return self._topics[topic]

    def answer(self) -> None:
        """Raise `Unavailable` if the broker is away."""
        if self.away:
            raise Unavailable("bus.away", "Kafka is away: the memory broker was told so")

    def append_all(self, messages: Sequence[Message], transaction: str | None = None) -> None:
        """Append messages, each to the partition of its key."""
        counts = {topic: len(self.partitions(topic)) for topic in {it.topic for it in messages}}
        for message in messages:
            self.append(message, partition_of(message.key, counts[message.topic]), transaction)

    def append(self, message: Message, partition: int, transaction: str | None = None) -> None:
        """Append one message to a partition; without a transaction readers see it at once."""
        part = self.partitions(message.topic)[partition]
        record = MemoryRecord(
            topic=message.topic,
            partition=partition,
            offset=part.end,
            timestamp=self._clock.now() // 1000,
            key=message.key,
            value=message.value,
            headers=tuple(message.all_headers()),
        )
        part.append(record, transaction)
        if transaction is None:
            self._wake()

    def take_over(self, transaction: str) -> int:
        """Fence whoever used a transactional id, end its transaction, and give the new epoch."""
        self._epochs[transaction] = self._epochs.get(transaction, 0) + 1
        self.finish(transaction, commit=False)
        return self._epochs[transaction]

    def owns(self, transaction: str, epoch: int) -> bool:
        """Tell whether nobody has taken over since."""
        return self._epochs[transaction] == epoch

    def finish(self, transaction: str, *, commit: bool) -> None:
        """Commit or abort a transaction."""
        for parts in self._topics.values():
            for part in parts:
                part.finish(transaction, commit=commit)
        self._wake()

    async def news(self, wait: float) -> None:
        """Wait until readers may see something new, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
