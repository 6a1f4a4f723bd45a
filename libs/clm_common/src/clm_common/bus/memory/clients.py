"""Producer, reader and publisher on the broker in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

import msgspec

from clm_common.bus.memory.broker import MemoryBroker
from clm_common.bus.ports import Message, Record
from clm_common.bus.size import refuse_oversize
from clm_common.contracts import topics as contract
from clm_common.contracts.position import Published
from clm_common.errors import OwnershipLost, Unavailable

Place = tuple[str, int]


class MemoryProducer:
    """The `Producer` port in memory."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages; see `Producer.publish`."""
        await asyncio.sleep(0)
        for message in messages:
            refuse_oversize(message)
        await self.ping()
        if self._broker.full:
            raise Unavailable("bus.full", "the memory broker was told to be full")
        self._broker.append_all(messages)

    async def ping(self) -> None:
        """Return if publishing works now; raises `Unavailable` otherwise."""
        self._broker.answer()


class MemoryReader:
    """The `Reader` port in memory."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._next: dict[Place, int] = {}

    def assign(self, positions: Mapping[Place, int]) -> None:
        """Set which partitions are read; see `Reader.assign`."""
        self._next = {place: self._next.get(place, offset) for place, offset in positions.items()}

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read an assigned partition from this offset on; see `Reader.seek`.

        Raises:
            KeyError: the partition is not assigned.
        """
        if (topic, partition) not in self._next:
            raise KeyError((topic, partition))
        self._next[topic, partition] = offset

    async def read(
        self, *, limit: int, wait: float, but: Collection[Place] = ()
    ) -> dict[Place, list[Record]]:
        """Give up to `limit` committed records; see `Reader.read`."""
        await asyncio.sleep(0)
        self._broker.answer()
        found = self._take(limit, but)
        if not found:
            await self._broker.news(wait)
            self._broker.answer()
            found = self._take(limit, but)
        return found

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Give the end of every partition, as far as it is committed; see `Reader.end_offsets`."""
        self._broker.answer()
        return {at: part.stable_end for at, part in enumerate(self._broker.partitions(topic))}

    async def offsets_at(self, topic: str, at: int) -> dict[int, int]:
        """Give the first offset of that time or later per partition; see `Reader.offsets_at`."""
        self._broker.answer()
        found: dict[int, int] = {}
        for number, part in enumerate(self._broker.partitions(topic)):
            later = (it.offset for it in part.committed(part.oldest) if it.timestamp >= at)
            found[number] = next(later, part.stable_end)
        return found

    async def ping(self) -> None:
        """Return if the broker answers now; raises `Unavailable` otherwise."""
        self._broker.answer()

    def _take(self, limit: int, but: Collection[Place]) -> dict[Place, list[Record]]:
        found: dict[Place, list[Record]] = {}
        for place, offset in [it for it in self._next.items() if it[0] not in but]:
            part = self._broker.partitions(place[0])[place[1]]
            start = offset if part.oldest <= offset <= part.end else part.oldest
            records: list[Record] = list(islice(part.committed(start), limit))
            if records:
                found[place] = records
                del self._next[place]  # to the end of the queue, so that none starves
                self._next[place] = records[-1].offset + 1
                limit -= len(records)
            if not limit:
                break
        return found


class MemoryPublisher:
    """The `Publisher` port in memory; after an error it is spent, as the real one."""

    def __init__(
        self,
        broker: MemoryBroker,
        *,
        service: str,
        partition: int,
        positions: str = contract.PUBLISHED.name,
    ) -> None:
        self._broker = broker
        self._id = f"{service}-{partition}"
        self._place = (positions, partition)
        self._epoch: int | None = None

    async def open(self) -> int:
        """Fence the publisher before, and give the last seq published; see `Publisher.open`."""
        await asyncio.sleep(0)
        self._broker.answer()
        self._epoch = self._broker.take_over(self._id)
        part = self._broker.partitions(self._place[0])[self._place[1]]
        values = [record.value for record in part.committed(part.oldest) if record.value]
        return msgspec.json.decode(values[-1], type=Published).seq if values else 0

    async def publish(self, pieces: Iterable[Sequence[Message]], *, seq: int) -> None:
        """Publish messages and the position in one transaction; see `Publisher.publish`."""
        await asyncio.sleep(0)
        messages = [message for piece in pieces for message in piece]
        for message in messages:
            refuse_oversize(message)
        epoch, self._epoch = self._epoch, None
        if epoch is None:
            raise Unavailable("bus.publisher_spent", f"{self._id} is not open; open a new one")
        self._broker.answer()
        if not self._broker.owns(self._id, epoch):
            raise OwnershipLost("bus.fenced", f"{self._id}: another publisher has taken over")
        self._write(messages, seq)
        self._epoch = epoch

    async def close(self) -> None:
        """End it; an open transaction is aborted, unless another publisher did so."""
        self._epoch = None

    def _write(self, messages: Sequence[Message], seq: int) -> None:
        fault, self._broker.commit_fault = self._broker.commit_fault, None
        topic, partition = self._place
        self._broker.append_all(messages, self._id)
        position = Message(topic, str(partition).encode(), msgspec.json.encode(Published(seq)))
        self._broker.append(position, partition, self._id)
        if fault == "lost":
            raise Unavailable("bus.away", "the memory broker was told to lose the commit")
        self._broker.finish(self._id, commit=True)
        if fault == "unclear":
            raise Unavailable("bus.away", "the memory broker was told not to answer the commit")
