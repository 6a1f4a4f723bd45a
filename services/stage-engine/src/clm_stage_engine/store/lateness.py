"""Touchpoints that came too late to count: kept as they were sent, once each, and listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.store.columns import columns

_KNOWN: Final = """
    SELECT asked.number FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[])
        WITH ORDINALITY AS asked (identity_id, time, source, message_id, number)
    WHERE EXISTS (
        SELECT FROM history AS it WHERE it.identity_id = asked.identity_id
        AND it.time = asked.time AND it.source = asked.source AND it.message_id = asked.message_id
    ) OR EXISTS (
        SELECT FROM late_touchpoint AS it WHERE it.identity_id = asked.identity_id
        AND it.time = asked.time AND it.source = asked.source AND it.message_id = asked.message_id
    )
"""

_ADD: Final = """
    INSERT INTO late_touchpoint
        (identity_id, time, source, message_id, workspace, received_at, body, marks)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[],
        $6::timestamptz[], $7::bytea[], $8::text[])
    ON CONFLICT DO NOTHING
"""

_DROP: Final = """
    DELETE FROM late_touchpoint WHERE id IN (
        SELECT id FROM late_touchpoint WHERE workspace = $1 AND recorded_at < $2
        ORDER BY recorded_at LIMIT $3)
"""

PIECE: Final = 5_000
"""Rows deleted by one statement."""


class Late(Struct, frozen=True):
    """A touchpoint that came too late, and the identity that it names."""

    arrival: Arrival
    identity: UUID

    @property
    def name(self) -> tuple[UUID, int, str, str]:
        """What it counts once by."""
        it = self.arrival
        return self.identity, it.time, it.source, it.sent_id


async def unknown(tx: Connection, late: Sequence[Late]) -> list[Late]:
    """Give those that are neither in the history nor among the late ones yet, each once."""
    once = list({it.name: it for it in late}.values())
    rows = await tx.fetch(_KNOWN, *columns([_name(it) for it in once], 4))
    known = {row["number"] for row in rows}
    return [it for number, it in enumerate(once, 1) if number not in known]


async def add(tx: Connection, late: Sequence[Late]) -> None:
    """Keep them."""
    if late:
        rows = [
            (*_name(it), own.workspace, to_datetime(own.received), own.body, ",".join(own.marks))
            for it in late
            for own in (it.arrival,)
        ]
        await tx.execute(_ADD, *columns(rows, 8))


def _name(late: Late) -> tuple[object, ...]:
    identity, time, source, message = late.name
    return identity, to_datetime(time), source, message


async def drop(db: Connection, workspace: str, before: int) -> int:
    """Delete some that were kept before an instant (µs), and give how many; 0 when none is left."""
    status: str = await db.execute(_DROP, workspace, to_datetime(before), PIECE)
    return int(status.rsplit(" ", 1)[1])
