"""The rows as outbox: loads facts by seq, and writes them as the messages they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from clm_common.bus.ports import Message
from clm_common.contracts.journey import IdentityMoved, JourneyMessage, TouchpointApplied
from clm_common.contracts.touchpoint import marks_of
from clm_common.instant import from_datetime, to_rfc3339
from clm_common.store.database import Database
from clm_stage_engine.core import river
from clm_stage_engine.store import reading
from clm_stage_engine.store.erasing import fact_of

Row = Any  # Any: asyncpg publishes no types; a record

_LAST: Final = "SELECT next_seq - 1 FROM consumer_partition WHERE topic = $1 AND partition = $2"

_RANGE: Final = "partition = $1 AND seq > $2 AND seq <= $3"

_HISTORY: Final = f"""
    SELECT h.*, i.workspace FROM history h JOIN identity i ON i.id = h.identity_id
    WHERE {_RANGE.replace("partition", "h.partition").replace("seq", "h.seq")}
"""  # noqa: S608 - constants
_CHANGES: Final = f"SELECT * FROM stage_change WHERE {_RANGE}"  # noqa: S608 - constants
_MOVES: Final = f"SELECT * FROM identity_moved WHERE {_RANGE}"  # noqa: S608 - constants
_ERASED: Final = f"SELECT * FROM profile_erased WHERE {_RANGE}"  # noqa: S608 - constants


class Facts:
    """The committed facts of one partition."""

    def __init__(self, database: Database, topic: str, partition: int) -> None:
        """Make a loader of the facts that the owner of this partition numbered."""
        self._database = database
        self._topic = topic
        self._partition = partition

    async def __call__(self, after: int, limit: int) -> tuple[int, Sequence[Sequence[Message]]]:
        """Give the messages of the facts with `after < seq <= after + limit`.

        Returns:
            The last seq covered, `after` where there is none, and the messages, in order of seq
            within each topic.

        Raises:
            Unavailable: PostgreSQL is away.
        """
        async with self._database.connection() as tx:
            last = await tx.fetchval(_LAST, self._topic, self._partition) or 0
            until = min(last, after + limit)
            where = self._partition, after, until
            facts: list[tuple[int, JourneyMessage]] = [
                *((row["seq"], touchpoint_of(row)) for row in await tx.fetch(_HISTORY, *where)),
                *((row["seq"], reading.change_of(row)) for row in await tx.fetch(_CHANGES, *where)),
                *((row["seq"], move_of(row)) for row in await tx.fetch(_MOVES, *where)),
                *((row["seq"], fact_of(row)) for row in await tx.fetch(_ERASED, *where)),
            ]
        facts.sort(key=_by_seq)
        return max(after, until), [*river.pieces(fact for _, fact in facts)]


def _by_seq(fact: tuple[int, JourneyMessage]) -> int:
    return fact[0]


def touchpoint_of(row: Row) -> TouchpointApplied:
    """Read a counted touchpoint, its `workspace` included, as it was, or is to be, published."""
    return TouchpointApplied(
        row["workspace"],
        row["profile_id"],
        row["version"],
        to_rfc3339(from_datetime(row["time"])),
        row["source"],
        row["message_id"],
        river.raw(row["body"]),
        marks_of(row["marks"].encode()),
        row["channel"] or None,
        row["campaign"],
        row["content"],
    )


def move_of(row: Row) -> IdentityMoved:
    """Read the move of an identity as it was, or is to be, published."""
    return IdentityMoved(
        workspace=row["workspace"],
        profile_id=row["profile_id"],
        version=row["version"],
        identity_id=row["identity_id"],
        from_profile=row["from_profile"],
        to_profile=row["to_profile"],
        time=to_rfc3339(from_datetime(row["at"])),
        emptied=row["emptied"],
        moves=row["moves"],
    )
