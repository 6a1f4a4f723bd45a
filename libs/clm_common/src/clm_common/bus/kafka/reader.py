"""Reads partitions under somebody else's lease: no group, no commits, no rebalances.

The offsets are the caller's (they live in PostgreSQL); what Kafka's groups remember is never asked
for, because aiokafka forgets it silently after a broker restart. The reader keeps the position of
every partition itself, so its consumer can be thrown away and made again at any time: that is how
it gets over a broker that moved, and over a fetcher that has died or gone deaf.

aiokafka fetches once as soon as what it has was taken, and then not again: when the next read comes
that is as old as the handling of the last one took, which under load is most of an event's way. So
a read that finds something waits a moment for what the next fetch brings.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, cast

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from clm_common.bus.kafka.lifecycle import FOREIGN, close, start, translate
from clm_common.bus.kafka.settings import KafkaSettings
from clm_common.bus.ports import Record
from clm_common.errors import Unavailable

log: Any = structlog.get_logger()  # Any: structlog's bound loggers are typed by configuration

_ANSWER_WITHIN: Final = 5.0
_FETCH_WAIT_MS: Final = 250
_DEAF_AFTER: Final = 30.0
_PATIENT: Final = 0.25  # of the time since the last read
_PATIENCE: Final = 0.02  # seconds at most


class PartitionReader:
    """The `Reader` port on Kafka; use it as `async with PartitionReader(settings) as reader`.

    It connects at the first call that needs a broker. `assign` and `seek` never wait.
    """

    def __init__(self, settings: KafkaSettings, *, silence: float = 5.0) -> None:
        """Connects nowhere yet.

        Args:
            settings: how to reach the brokers.
            silence: seconds without an answer for any partition until the broker counts as away.
        """
        self._settings = settings
        self._silence = silence
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[tuple[str, int], int] = {}
        self._heard: dict[tuple[str, int], _Heard] = {}
        self._last_read = 0.0
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; the positions are kept."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close(consumer)

    def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Set which partitions are read; see `Reader.assign`."""
        wanted = {place: self._next.get(place, offset) for place, offset in positions.items()}
        if wanted.keys() == self._next.keys():
            return
        self._next = wanted
        if self._consumer is not None:
            self._point(self._consumer)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read an assigned partition from this offset on; see `Reader.seek`.

        Raises:
            KeyError: the partition is not assigned.
        """
        place = (topic, partition)
        if place not in self._next:
            raise KeyError(place)
        self._next[place] = offset
        if self._consumer is not None:
            self._consumer.seek(TopicPartition(topic, partition), offset)

    async def read(
        self, *, limit: int, wait: float, but: Collection[tuple[str, int]] = ()
    ) -> dict[tuple[str, int], list[Record]]:
        """Give up to `limit` committed records; see `Reader.read`.

        Raises:
            Unavailable: no broker answers; the next call connects anew.
        """
        if not self._next.keys() - set(but):
            await asyncio.sleep(wait)
            return {}
        some = [TopicPartition(*place) for place in self._next if place not in but] if but else []
        away = time.monotonic() - self._last_read
        consumer = await self._connected()
        found = self._passed(await self._fetched(consumer, some, limit, 0.0))
        if (room := limit - sum(map(len, found.values()))) > 0:
            newer = min(wait, away * _PATIENT, _PATIENCE) if found else wait
            try:
                more = await self._fetched(consumer, some, room, newer)
            except BaseException:
                for place, records in self._unmoved(found).items():
                    self.seek(*place, records[0].offset)
                raise
            found = self._unmoved(found)
            for place, records in self._passed(more).items():
                found[place] = [*found.get(place, ()), *records]
        await self._listen(consumer, {*found, *but})
        return found

    async def _fetched(
        self, consumer: AIOKafkaConsumer, some: Sequence[TopicPartition], limit: int, wait: float
    ) -> dict[tuple[str, int], list[Record]]:
        """Give what the consumer has of some partitions, or of all."""
        try:
            got = await consumer.getmany(*some, timeout_ms=int(wait * 1000), max_records=limit)
        except OffsetOutOfRangeError as error:
            await self._start_at_oldest(consumer, error)
            return {}
        except FOREIGN as error:
            await self.close()
            raise translate(error, "reading") from error
        return cast("dict[tuple[str, int], list[Record]]", got)

    def _passed(
        self, got: Mapping[tuple[str, int], list[Record]]
    ) -> dict[tuple[str, int], list[Record]]:
        """Move the positions behind records; those of a partition no longer read are left out."""
        found = {place: records for place, records in got.items() if place in self._next}
        for place, records in found.items():
            self._next[place] = records[-1].offset + 1
        return found

    def _unmoved(
        self, taken: Mapping[tuple[str, int], list[Record]]
    ) -> dict[tuple[str, int], list[Record]]:
        """Give what still lies right before the positions: nobody has sought elsewhere since."""
        return {
            place: records
            for place, records in taken.items()
            if self._next.get(place) == records[-1].offset + 1
        }

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Give the end of every partition, as far as it is committed; see `Reader.end_offsets`.

        Raises:
            Unavailable: no broker answers, or there is no such topic.
        """
        consumer = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                ends = await consumer.end_offsets(await _places_of(consumer, topic))
        except FOREIGN as error:
            raise translate(error, f"asking for the end of {topic}") from error
        return {place.partition: offset for place, offset in ends.items()}

    async def offsets_at(self, topic: str, at: int) -> dict[int, int]:
        """Give the first offset of that time or later per partition; see `Reader.offsets_at`.

        Raises:
            Unavailable: no broker answers, or there is no such topic.
        """
        consumer = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                places = await _places_of(consumer, topic)
                found = await consumer.offsets_for_times(dict.fromkeys(places, at))
                ends = await consumer.end_offsets(places)
        except FOREIGN as error:
            raise translate(error, f"asking where {topic} was at a time") from error
        return {
            place.partition: end if found[place] is None else found[place].offset
            for place, end in ends.items()
        }

    async def ping(self) -> None:
        """Return if a broker answers now; raises `Unavailable` otherwise."""
        consumer = await self._connected()
        answered = False
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                client = consumer._client  # noqa: SLF001 - the cheapest question there is
                answered = await client.force_metadata_update()
        except FOREIGN as error:
            raise translate(error, "asking Kafka") from error
        if not answered:
            raise Unavailable("bus.away", "Kafka does not answer")

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._connecting:
            if self._consumer is None:
                consumer = self._make()
                try:
                    await start(consumer, within=_ANSWER_WITHIN)
                except FOREIGN as error:
                    raise translate(error, "connecting to Kafka") from error
                self._point(consumer)
                self._consumer = consumer
            return self._consumer

    def _make(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._settings.connection(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # raised here, so that it is seen: `_start_at_oldest`
            isolation_level="read_committed",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=int(_ANSWER_WITHIN * 1000),
        )

    def _point(self, consumer: AIOKafkaConsumer) -> None:
        """Assign anew, which drops all that was fetched before, and seek every partition."""
        consumer.assign([TopicPartition(*place) for place in self._next])
        for place, offset in self._next.items():
            consumer.seek(TopicPartition(*place), offset)
        now = time.monotonic()
        self._heard = {place: _Heard(None, now) for place in self._next}

    async def _start_at_oldest(
        self, consumer: AIOKafkaConsumer, error: OffsetOutOfRangeError
    ) -> None:
        lost: dict[TopicPartition, int] = error.args[0]
        try:
            oldest = await consumer.beginning_offsets(list(lost))
        except FOREIGN as problem:
            raise translate(problem, "asking for the oldest records") from problem
        for place, offset in oldest.items():
            if self._next.get(place) == lost[place]:  # nobody has sought meanwhile
                log.warning(
                    "bus.offset_out_of_range",
                    topic=place.topic,
                    partition=place.partition,
                    offset=lost[place],
                    oldest=offset,
                )
                self.seek(place.topic, place.partition, offset)

    async def _listen(self, consumer: AIOKafkaConsumer, well: Collection[tuple[str, int]]) -> None:
        """Notice when no partition, or one of them, has had an answer for too long.

        Those that are `well` have just had one, or nobody asked for theirs.
        `getmany` gives nothing, without an error, when brokers are away or its fetcher is dead.
        """
        now = time.monotonic()
        idle, self._last_read = max(0.0, now - self._last_read - 1.0), now
        for place, heard in self._heard.items():
            heard.note(consumer.last_poll_timestamp(TopicPartition(*place)), now, idle)
            if place in well:
                heard.at = now
        silent = {place: now - heard.at for place, heard in self._heard.items()}
        if not silent:
            return  # all were given up while it read
        if min(silent.values()) > self._silence:
            await self.close()
            raise Unavailable("bus.away", "Kafka does not answer the reader")
        deaf = [place for place, since in silent.items() if since > _DEAF_AFTER]
        if deaf:
            log.warning("bus.reader_deaf", partitions=deaf)
            await self.close()


async def _places_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    # No public call of a consumer gives the partitions of a topic it does not read.
    partitions = await consumer._client._wait_on_metadata(topic)  # noqa: SLF001
    return [TopicPartition(topic, partition) for partition in sorted(partitions)]


class _Heard:
    """When a partition was last answered for, as far as the reader looked."""

    __slots__ = ("at", "stamp")

    def __init__(self, stamp: int | None, at: float) -> None:
        self.stamp = stamp
        self.at = at

    def note(self, stamp: int | None, now: float, idle: float) -> None:
        """Compare with the stamp of the last answer; time in which nobody read does not count."""
        if stamp != self.stamp:
            self.stamp, self.at = stamp, now
        else:
            self.at = min(now, self.at + idle)
