"""Who was erased: shared by all partitions of a process, and never further back than asked for.

Events of an erased person from before the erasure stay out, whoever sends them again. They are
known by salted hashes of their identities. Whoever keeps something in memory asks which profiles
have gone since it looked last.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from uuid import UUID

from clm_common.instant import from_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.core.identity import Key
from clm_stage_engine.store import erasing
from clm_stage_engine.store.ids import profile_id


class Erased:
    """What this process knows of erasures; `refresh` reads what is new."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._salt: bytes | None = None
        self._marks: dict[bytes, int] = {}
        self._newest = -1
        self._seen_marks: dict[int, int] = {}
        self._seen_facts: dict[int, int] = {}
        self._gone: list[UUID] = []

    async def refresh(self, tx: Connection) -> None:
        """Read what was erased since the last time; one statement where nothing was."""
        facts = await erasing.new_facts(tx, self._seen_facts)
        if self._salt is None or facts:  # marks are written together with facts
            self._salt = self._salt or await erasing.salt(tx)
            for row in await erasing.new_marks(tx, self._seen_marks):
                until = from_datetime(row["until"])
                self._marks[row["hash"]] = max(until, self._marks.get(row["hash"], -1))
                self._newest = max(self._newest, until)
                _see(self._seen_marks, row["partition"], row["seq"])
        for row in facts:
            self._gone.append(row["profile_id"])
            _see(self._seen_facts, row["partition"], row["seq"])

    @property
    def is_read(self) -> bool:
        """Whether it has read anything yet."""
        return self._salt is not None

    def hash_of(self, identity: UUID) -> bytes:
        """Give the salted hash of an identity; call `refresh` before."""
        if self._salt is None:
            raise RuntimeError("refresh was never called")
        return hmac.digest(self._salt, identity.bytes, "sha256")

    @property
    def count(self) -> int:
        """How many profiles have gone, as far as is known."""
        return len(self._gone)

    def since(self, place: int) -> set[UUID]:
        """Give the profiles that have gone since `count` was that much."""
        return set(self._gone[place:])

    def sift(self, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Leave out events from before their person was erased.

        An event that is newer than every erasure costs one comparison.
        """
        newest = self._newest
        if newest < 0:
            return list(arrivals)
        return [
            it
            for it in arrivals
            if it.time > newest or not self.is_out((it.user, it.anonymous), it.time)
        ]

    def is_out(self, keys: Iterable[Key | None], time: int) -> bool:
        """Tell whether one of these was erased at this instant (µs) or later."""
        if time > self._newest:
            return False
        return any(time <= self._marks.get(self._hash(key), -1) for key in keys if key is not None)

    def _hash(self, key: Key) -> bytes:
        return self.hash_of(profile_id(*key))


def _see(seen: dict[int, int], partition: int, seq: int) -> None:
    seen[partition] = max(seq, seen.get(partition, 0))
