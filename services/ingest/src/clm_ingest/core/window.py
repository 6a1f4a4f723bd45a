"""Which message ids a process has published lately, in bounded memory.

Ids are compared exactly, never by a hash, so a different event is never taken for a repeat. They
are kept in two generations; when the newer is full the older is forgotten. How far back that
reaches depends on how much comes in: nothing may rely on it.
"""

from collections.abc import Collection
from collections.abc import Set as AbstractSet
from typing import Final

Source = tuple[str, str]
"""A workspace and one of its sources: ids are unique within a source only."""

PER_ID: Final = 130
"""Bytes that one id is counted as, besides its own: measured, of the set and the object."""


class Window:
    """The ids of all sources together."""

    def __init__(self, limit: int) -> None:
        """Make an empty one.

        Args:
            limit: bytes it may have; with 0 nothing is remembered.
        """
        self._limit = limit // 2
        self._size = 0
        self._recent: dict[Source, set[bytes]] = {}
        self._older: dict[Source, set[bytes]] = {}

    @property
    def remembers(self) -> bool:
        """Whether it remembers anything at all."""
        return self._limit > 0

    def take(self, source: Source, ids: Collection[bytes]) -> set[bytes]:
        """Remember ids, and give those that were remembered before."""
        if not self._limit:
            return set()
        fresh = set(ids)
        recent = self._recent.get(source)
        if recent is None:
            recent = self._recent[source] = set()
        older: AbstractSet[bytes] = self._older.get(source, frozenset())
        known: set[bytes] = set()
        if not (fresh.isdisjoint(recent) and fresh.isdisjoint(older)):
            known = {each for each in fresh if each in recent or each in older}
        recent |= fresh
        self._size += len(b"".join(ids)) + PER_ID * len(ids)
        if self._size > self._limit:
            self._older, self._recent, self._size = self._recent, {}, 0
        return known

    def forget(self, source: Source, ids: set[bytes]) -> None:
        """Forget ids that were not published after all."""
        for generation in (self._recent, self._older):
            generation.get(source, set()).difference_update(ids)
