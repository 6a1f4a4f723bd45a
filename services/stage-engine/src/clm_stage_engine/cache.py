"""What one partition's owner keeps in memory: profiles at their version, and identities.

Profiles and identities in it are committed, so anything may be dropped at any time. Nothing in it
is trusted: profiles are written with a check of their version, identities are checked before the
commit. Between two tries of a batch it holds what stands of the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from clm_common.bus.ports import Record
from clm_stage_engine.core.identity import IdentityRow, Key
from clm_stage_engine.kept import Kept
from clm_stage_engine.profiles import Entry
from clm_stage_engine.rules import Rules

K = TypeVar("K")
V = TypeVar("V")


class Cache:
    """A bounded memory; the longest unchanged goes first.

    Attributes:
        profiles: by id.
        identities: by workspace, kind and value.
        kept: what stands of a batch that has just lost a race.
    """

    def __init__(self, limit: int) -> None:
        """Make an empty one for `limit` profiles (and twice as many identities)."""
        self._limit = limit
        self.profiles: dict[UUID, Entry] = {}
        self.identities: dict[Key, IdentityRow] = {}
        self.kept: Kept | None = None

    def keep(self, entries: Iterable[Entry], identities: Iterable[IdentityRow]) -> None:
        """Take over what was committed."""
        profiles = self.profiles
        for entry in entries:
            profiles.pop(entry.id, None)
            profiles[entry.id] = entry
        for row in identities:
            self.identities[row.workspace, row.kind, row.value] = row
        _shrink(profiles, self._limit)
        _shrink(self.identities, 2 * self._limit)

    def evict(self, profiles: Iterable[UUID], identities: Iterable[Key]) -> None:
        """Drop what turned out to be outdated."""
        for each in profiles:
            self.profiles.pop(each, None)
        for key in identities:
            self.identities.pop(key, None)

    def left_of(self, records: Sequence[Record], rules: Rules) -> Kept | None:
        """Give what stands of an earlier try to decide about just these records by these rules.

        It is given once; of any other batch it is dropped.
        """
        kept, self.kept = self.kept, None
        if kept is None or kept.basis.rules is not rules or kept.basis.records is not records:
            return None
        return kept

    def clear(self) -> None:
        """Drop everything."""
        self.kept = None
        self.profiles.clear()
        self.identities.clear()


def _shrink(memory: dict[K, V], limit: int) -> None:
    while len(memory) > limit:
        del memory[next(iter(memory))]
