"""Publishes the river sealed: a publisher in front of the real one, where the setting says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

from clm_common.bus.columns import topics_of
from clm_common.bus.ports import Message, Publisher
from clm_common.contracts.topics import JOURNEY
from clm_common.errors import RaceLost, Unavailable
from clm_stage_engine.core.sealed import Head, heads_of, sealed
from clm_stage_engine.store.keys import Keys

Piece = tuple[Sequence[Message], Sequence[Head]]
"""Some messages, and the heads of those that are to be sealed: all of them, or none."""


async def _nothing(published: int) -> None:
    """Note nothing."""


class SealingPublisher:
    """The `Publisher` port: seals what goes to one topic and hands all on."""

    def __init__(
        self,
        publisher: Publisher,
        keys: Keys,
        *,
        topic: str = JOURNEY.name,
        opened: Callable[[int], Awaitable[None]] = _nothing,
    ) -> None:
        """Make it.

        Args:
            publisher: publishes.
            keys: gives people's keys.
            topic: what is sealed; all else is handed on as it is.
            opened: told the last seq published before, once nobody else publishes any more.
        """
        self._publisher = publisher
        self._keys = keys
        self._topic = topic
        self._opened = opened

    async def open(self) -> int:
        """Open the publisher; see `Publisher.open`."""
        published = await self._publisher.open()
        await self._opened(published)
        return published

    async def publish(self, pieces: Iterable[Sequence[Message]], *, seq: int) -> None:
        """Seal and publish; see `Publisher.publish`.

        Keys are read each time: whoever was erased and came back has another one since.

        Raises:
            Unavailable: PostgreSQL or the broker is away, or the settings lack a key.
            OwnershipLost: as the publisher raises.
            InvalidMessage: likewise.
        """
        made = [self._read(piece) for piece in pieces]
        try:
            grants = await self._keys.granted([head for _, heads in made for head in heads])
        except RaceLost as error:
            raise Unavailable("journey.keys_race", "keys were made by another relay") from error

        def told() -> Iterator[Sequence[Message]]:
            for messages, heads in made:
                yield sealed(self._topic, messages, heads, grants) if heads else messages

        await self._publisher.publish(told(), seq=seq)

    async def close(self) -> None:
        """Close the publisher."""
        await self._publisher.close()

    def _read(self, messages: Sequence[Message]) -> Piece:
        return messages, heads_of(messages) if topics_of(messages) == {self._topic} else ()
