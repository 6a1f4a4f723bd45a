"""Facts in the order in which they were written: by partition and seq, from any place on.

A place is a vector: of each partition the seq of the last fact that was seen. Seqs are given out
under the partition's fence and committed in order, so whoever reads up to a committed seq has
missed nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection
from clm_stage_engine import outbox
from clm_stage_engine.store import reading

Row = Any  # Any: asyncpg publishes no types; a record
Place = Mapping[int, int]

PIECE: Final = 500
"""Facts read of a partition at a time."""

_POSITIONS: Final = """
    SELECT partition, next_seq - 1 AS seq FROM consumer_partition WHERE topic = $1
"""
_SPANS: Final = "unnest($1::int[], $2::bigint[], $3::bigint[]) AS span (part, after, until)"
_CHANGES: Final = f"""
    SELECT fact.* FROM {_SPANS} CROSS JOIN LATERAL (
        SELECT * FROM stage_change
        WHERE partition = part AND seq > after AND seq <= until
        ORDER BY seq LIMIT {PIECE}
    ) AS fact
"""  # noqa: S608 - constants
_MOVES: Final = f"""
    SELECT fact.* FROM {_SPANS} CROSS JOIN LATERAL (
        SELECT * FROM identity_moved
        WHERE partition = part AND seq > after AND seq <= until
        ORDER BY seq LIMIT {PIECE}
    ) AS fact
"""  # noqa: S608 - constants
_CHANGES_OF: Final = f"""
    SELECT fact.* FROM {_SPANS} JOIN stage_change AS fact ON partition = part
    WHERE profile_id = $4 AND seq > after AND seq <= until
"""  # noqa: S608 - constants
_MOVES_OF: Final = f"""
    SELECT fact.* FROM {_SPANS} JOIN identity_moved AS fact ON partition = part
    WHERE profile_id = $4 AND seq > after AND seq <= until
"""  # noqa: S608 - constants
_TOUCHPOINTS: Final = f"""
    SELECT fact.*, known.workspace FROM {_SPANS}
    CROSS JOIN identity AS known JOIN history AS fact ON fact.identity_id = known.id
    WHERE known.profile_id = ANY($4::uuid[]) AND fact.time >= $5
        AND fact.partition = part AND fact.seq > after AND fact.seq <= until
"""  # noqa: S608 - constants

_PLACE: Final = re.compile(r"\d{1,4}:\d{1,19}(,\d{1,4}:\d{1,19})*")


class Fact(Struct, frozen=True):
    """A fact as a subscriber gets it.

    Attributes:
        partition: whose owner wrote it.
        seq: its number there.
        event: `stage_changed`, `identity_moved` or `touchpoint`.
        data: the message, as it stands on the river.
        workspace: whose it is.
        profile: whom it is about.
        stages: the stages that were left and entered.
        lifecycle: in which lifecycle.
    """

    partition: int
    seq: int
    event: str
    data: str
    workspace: str
    profile: UUID
    stages: tuple[str | None, ...] = ()
    lifecycle: str | None = None


async def positions(db: Connection) -> dict[int, int]:
    """Give the newest committed seq of each partition, 0 where nothing is committed yet."""
    rows = await db.fetch(_POSITIONS, TOUCHPOINTS.name)
    nothing = dict.fromkeys(range(TOUCHPOINTS.partitions), 0)
    return nothing | {row["partition"]: row["seq"] for row in rows}


async def read(
    db: Connection, after: Place, until: Place, watched: Sequence[UUID], since: datetime
) -> tuple[list[Fact], dict[int, int]]:
    """Give the facts between two places, a piece at a time.

    Args:
        db: the connection.
        after: where to begin.
        until: where to end at the latest.
        watched: whose touchpoints are wanted, too; nobody else's are read.
        since: touchpoints of an earlier event time are left out.

    Returns:
        The facts in order of partition and seq, and the place that was reached.
    """
    spans = [(part, after.get(part, 0), seq) for part, seq in until.items()]
    spans = [span for span in spans if span[1] < span[2]]
    if not spans:
        return [], dict(after)
    columns = [list(column) for column in zip(*spans, strict=True)]
    changes: Sequence[Row] = await db.fetch(_CHANGES, *columns)
    moves: Sequence[Row] = await db.fetch(_MOVES, *columns)
    reached = {**after, **_reached(spans, changes, moves)}
    facts = [*map(_change, changes), *map(_move, moves)]
    if watched:
        spent = [columns[0], columns[1], [reached[part] for part in columns[0]]]
        rows = await db.fetch(_TOUCHPOINTS, *spent, list(watched), since)
        facts += map(_touchpoint, rows)
    kept = [it for it in facts if it.seq <= reached[it.partition]]
    return sorted(kept, key=_in_order), reached


async def read_of(
    db: Connection, profile: UUID, after: Place, until: Place, since: datetime | None
) -> list[Fact]:
    """Give one profile's facts between two places, however far apart, by partition and seq.

    Args:
        db: the connection.
        profile: whose.
        after: where to begin.
        until: where to end.
        since: the earliest event time of its touchpoints; None leaves them out.
    """
    spans = [(part, after.get(part, 0), seq) for part, seq in until.items()]
    columns = [list(column) for column in zip(*spans, strict=True)]
    facts = [
        *map(_change, await db.fetch(_CHANGES_OF, *columns, profile)),
        *map(_move, await db.fetch(_MOVES_OF, *columns, profile)),
    ]
    if since is not None:
        facts += map(_touchpoint, await db.fetch(_TOUCHPOINTS, *columns, [profile], since))
    return sorted(facts, key=_in_order)


def _reached(spans: Iterable[tuple[int, int, int]], *found: Sequence[Row]) -> dict[int, int]:
    """Tell up to which seq each partition was read: where a piece is full, up to its end."""
    ends = {part: until for part, _, until in spans}
    for rows in found:
        seqs: dict[int, list[int]] = {}
        for row in rows:
            seqs.setdefault(row["partition"], []).append(row["seq"])
        for part, each in seqs.items():
            if len(each) == PIECE:
                ends[part] = min(ends[part], each[-1])
    return ends


def _in_order(fact: Fact) -> tuple[int, int]:
    return fact.partition, fact.seq


def _change(row: Row) -> Fact:
    fact = reading.change_of(row)
    return Fact(
        row["partition"],
        row["seq"],
        "stage_changed",
        msgspec.json.encode(fact).decode(),
        fact.workspace,
        fact.profile_id,
        (fact.source, fact.target),
        fact.lifecycle,
    )


def _move(row: Row) -> Fact:
    fact = outbox.move_of(row)
    return Fact(
        row["partition"],
        row["seq"],
        "identity_moved",
        msgspec.json.encode(fact).decode(),
        fact.workspace,
        fact.profile_id,
    )


def _touchpoint(row: Row) -> Fact:
    fact = outbox.touchpoint_of(row)
    return Fact(
        row["partition"],
        row["seq"],
        "touchpoint",
        msgspec.json.encode(fact).decode(),
        fact.workspace,
        fact.profile_id,
    )


def write_place(place: Place) -> str:
    """Write a place as the id of an event: `0:17,3:250`."""
    return ",".join(f"{part}:{seq}" for part, seq in sorted(place.items()))


def read_place(text: str) -> dict[int, int]:
    """Read what `write_place` wrote.

    Raises:
        Rejected: it is none of ours.
    """
    if not _PLACE.fullmatch(text):
        raise Rejected(
            400,
            "stream.place_invalid",
            "Last-Event-ID is none that this API gave; leave it out to begin now",
        )
    pairs = (pair.split(":") for pair in text.split(","))
    return {int(part): int(seq) for part, seq in pairs}
