"""Opens what is sealed on the river before a handler sees it; see `contracts.sealing`.

A record whose key was deleted is about somebody who was erased: it is passed over and counted. One
whose key cannot be had just now waits, with all behind it. One that its own key does not open was
changed by somebody and is refused. Whatever is refused later is buried as it was read: sealed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from clm_common import telemetry
from clm_common.bus.ports import Headers, Record
from clm_common.contracts.sealing import Seal, is_sealed, key_of
from clm_common.errors import InvalidMessage
from clm_common.runtime.handler import Refusal

Keys = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, Seal | None]]]
"""Gives at least the keys asked for, None for those that were deleted; or raises `Unavailable`."""


class OpenedRecord(Struct, frozen=True):
    """A record as it would have been read plain.

    Attributes:
        read: the record as it was read.
        value: what was sealed.
    """

    read: Record
    value: bytes

    @property
    def topic(self) -> str:
        """The topic it was read from."""
        return self.read.topic

    @property
    def partition(self) -> int:
        """The partition it was read from."""
        return self.read.partition

    @property
    def offset(self) -> int:
        """Its place in the partition."""
        return self.read.offset

    @property
    def timestamp(self) -> int:
        """The broker's or producer's stamp, in ms since the epoch."""
        return self.read.timestamp

    @property
    def key(self) -> bytes | None:
        """Its key."""
        return self.read.key

    @property
    def headers(self) -> Headers:
        """Its headers, as they were read."""
        return self.read.headers


class Opened(Struct, frozen=True):
    """What a batch of records comes to.

    Attributes:
        records: those that say something, in order.
        refused: those that nobody can read though their key is there.
    """

    records: Sequence[Record]
    refused: Sequence[Refusal] = ()


class Opener:
    """Opens the sealed ones among records."""

    def __init__(self, keys: Keys) -> None:
        """Make it.

        Args:
            keys: gives people's keys.
        """
        self._keys = keys

    async def __call__(self, records: Sequence[Record]) -> Opened:
        """Open what is sealed; where nothing is, it costs a look at each.

        Raises:
            Unavailable: the keys cannot be had now.
        """
        if not any(is_sealed(it.value or b"") for it in records):
            return Opened(records)
        refused: list[Refusal] = []
        named = [_named(it, refused) for it in records]
        keys = await self._keys({it for it in named if it is not None})
        found: list[Record] = []
        broken = {it.record.offset for it in refused}
        for record, name in zip(records, named, strict=True):
            if record.offset in broken:
                continue
            if name is None:
                found.append(record)
            elif (seal := keys[name]) is None:
                telemetry.ERASED_RECORDS.labels(record.topic).inc()
            else:
                _open(record, seal, found, refused)
        return Opened(found, refused)


def as_read(refused: Sequence[Refusal]) -> list[Refusal]:
    """Give refusals with their records as they were read."""
    return [
        Refusal(it.record.read, it.error) if isinstance(it.record, OpenedRecord) else it
        for it in refused
    ]


def _named(record: Record, refused: list[Refusal]) -> UUID | None:
    """Give the id of the key that a record asks for; None for a plain or a broken one."""
    value = record.value or b""
    if not is_sealed(value):
        return None
    try:
        return key_of(value)
    except InvalidMessage as error:
        refused.append(Refusal(record, error))
        return None


def _open(record: Record, seal: Seal, found: list[Record], refused: list[Refusal]) -> None:
    try:
        value = seal.open(record.value or b"", record.topic, record.key or b"")
        found.append(OpenedRecord(record, value))
    except InvalidMessage as error:
        refused.append(Refusal(record, error))
