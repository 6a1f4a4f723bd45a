"""Moves by hand that were recorded: whether a decision was taken already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from clm_common.instant import from_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.manual import ByHand, by_hand
from clm_stage_engine.core.ours import SOURCE

_RECORDED: Final = """
    SELECT time, body FROM history
    WHERE identity_id = ANY($1::uuid[]) AND source = $2 AND message_id = $3 LIMIT 1
"""


async def recorded(
    db: Connection, identities: Sequence[UUID], message_id: str
) -> tuple[int, ByHand] | None:
    """Give a recorded move, and from when on (µs) it holds."""
    row = await db.fetchrow(_RECORDED, identities, SOURCE, message_id)
    return None if row is None else (from_datetime(row["time"]), by_hand(row["body"]))
