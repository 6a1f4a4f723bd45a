"""Messages kept by column, for who makes many alike: an object for each costs too much there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from clm_common.bus.ports import Message, Shared


class Columns(Sequence[Message]):
    """Messages of one topic whose own headers have the same names; append to every column alike.

    Attributes:
        topic: where all are published.
        names: the names of each message's own headers.
        keys: the keys.
        values: the values.
        shared: the headers each has in common with others.
        headers: the values of the own headers, a column for each name.
    """

    __slots__ = ("headers", "keys", "names", "shared", "topic", "values")

    def __init__(self, topic: str, names: tuple[str, ...]) -> None:
        """Begin with no messages."""
        self.topic = topic
        self.names = names
        self.keys: list[bytes] = []
        self.values: list[bytes] = []
        self.shared: list[Shared | None] = []
        self.headers: tuple[list[bytes], ...] = tuple([[] for _ in names])

    def extend(self, more: Columns) -> None:
        """Append messages of the same topic, whose own headers have the same names."""
        self.keys += more.keys
        self.values += more.values
        self.shared += more.shared
        for column, texts in zip(self.headers, more.headers, strict=True):
            column.extend(texts)

    def __len__(self) -> int:
        """Count the messages."""
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        """Tell whether it holds the same messages as another sequence."""
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment] # it is mutable

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> list[Message]: ...
    def __getitem__(self, place: int | slice) -> Message | list[Message]:
        """Give a message, or some."""
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        own = tuple(column[place] for column in self.headers)
        headers = tuple(zip(self.names, own, strict=True))
        shared = self.shared[place]
        return Message(self.topic, self.keys[place], self.values[place], headers, shared)


def topics_of(messages: Sequence[Message]) -> set[str]:
    """Give the topics that messages go to."""
    if isinstance(messages, Columns):
        return {messages.topic} if messages else set()
    return {message.topic for message in messages}


def values_of(messages: Sequence[Message]) -> Iterable[bytes]:
    """Give the values of messages."""
    if isinstance(messages, Columns):
        return messages.values
    return [message.value for message in messages]
