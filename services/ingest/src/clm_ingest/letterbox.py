"""Fetches dead letters from their topic, by the places that the index knows."""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from typing import Final

from clm_common.bus.ports import Reader
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS_DLQ
from clm_common.errors import Unavailable
from clm_ingest.core.letters import letter_of

Place = tuple[int, int]
"""Partition and offset."""

_TOPIC: Final = TOUCHPOINTS_DLQ.name
_BATCH: Final = 200
_FAR: Final = 1_000
_WITHIN: Final = 10.0
_WAIT: Final = 0.5


class Letterbox:
    """Reads letters one request after the other; nothing is read in between."""

    def __init__(self, reader: Reader) -> None:
        """Make it.

        Args:
            reader: a reader of its own.
        """
        self._reader = reader
        self._turn = asyncio.Lock()

    async def fetch(self, places: Collection[Place]) -> dict[Place, DeadLetter]:
        """Give letters by their places; those that the topic does not hold any more are missing.

        Raises:
            Unavailable: Kafka is away, or too slow.
        """
        wanted: dict[int, list[int]] = defaultdict(list)
        for partition, offset in sorted(places):
            wanted[partition].append(offset)
        found: dict[Place, DeadLetter] = {}
        async with self._turn:
            try:
                async with asyncio.timeout(_WITHIN):
                    ends = await self._reader.end_offsets(_TOPIC)
                    for partition, offsets in wanted.items():
                        there = [it for it in offsets if it < ends.get(partition, 0)]
                        await self._read(partition, there, found)
            except TimeoutError:
                raise Unavailable("letters.slow", "Kafka is slow to give the letters") from None
            finally:
                self._reader.assign({})
        return found

    async def _read(
        self, partition: int, offsets: list[int], found: dict[Place, DeadLetter]
    ) -> None:
        """Read one partition's letters, in order of their offsets; far gaps are leapt over."""
        position = -_FAR - 1
        while offsets:
            if offsets[0] - position > _FAR:
                position = offsets[0]
                self._reader.assign({(_TOPIC, partition): position})
                self._reader.seek(_TOPIC, partition, position)
            records = (await self._reader.read(limit=_BATCH, wait=_WAIT)).get((_TOPIC, partition))
            for record in records or ():
                if record.offset in offsets:
                    found[partition, record.offset] = letter_of(record)
                position = record.offset + 1
            offsets = [it for it in offsets if it >= position]
