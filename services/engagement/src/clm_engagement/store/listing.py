"""What the API lists: messages page by page, and how many there are of each fate."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_engagement.store import Row

_MESSAGES: Final = """
    SELECT id, journey, step, channel, profile_id, entered_at, state, reason, code, waits_for,
        attempts, due_at, planned_at, settled_at, reported_at
    FROM message
    WHERE workspace = $1
        AND ($2::uuid IS NULL OR profile_id = $2 OR person_id = $2 OR profile_id IN (
            SELECT id FROM identity WHERE profile_id = $2 AND workspace = $1))
        AND ($3::text[] IS NULL OR state = ANY($3))
        AND ($4::text IS NULL OR journey = $4)
        AND ($5::timestamptz IS NULL OR (entered_at, id) < ($5, $6::uuid))
    ORDER BY entered_at DESC, id DESC
    LIMIT $7
"""

_COUNTS: Final = """
    SELECT journey, step, state, reason, count(*) AS messages
    FROM message WHERE workspace = $1 GROUP BY journey, step, state, reason
"""


class Listed(Struct, frozen=True):
    """One message as it is listed; see `core.journey.Message` for what the fields mean."""

    id: UUID
    journey: str
    step: str
    channel: str
    profile_id: UUID
    entered_at: int
    state: str
    reason: str | None
    code: str | None
    waits_for: str | None
    attempts: int
    due_at: int | None
    planned_at: int
    settled_at: int | None
    reported_at: int | None


class Count(Struct, frozen=True):
    """How many messages of a step share a state and a reason."""

    journey: str
    step: str
    state: str
    reason: str | None
    messages: int


class Filter(Struct, frozen=True):
    """Which messages to list; None: all.

    Attributes:
        profile: planned for this profile, or for an identity it owns now.
        states: in one of these states.
        journey: of this journey.
    """

    profile: UUID | None = None
    states: tuple[str, ...] | None = None
    journey: str | None = None


async def list_messages(
    connection: Connection,
    workspace: str,
    which: Filter,
    *,
    after: tuple[int, UUID] | None,
    limit: int,
) -> list[Listed]:
    """List messages, the latest stage entry first; `after` is the place of the last one seen."""
    time, last = (None, None) if after is None else (to_datetime(after[0]), after[1])
    states = None if which.states is None else list(which.states)
    rows = await connection.fetch(
        _MESSAGES, workspace, which.profile, states, which.journey, time, last, limit
    )
    return [_listed(row) for row in rows]


def _listed(row: Row) -> Listed:
    values = dict(row)
    for name in ("entered_at", "due_at", "planned_at", "settled_at", "reported_at"):
        if values[name] is not None:
            values[name] = from_datetime(values[name])
    return Listed(**values)


async def count_messages(connection: Connection, workspace: str) -> list[Count]:
    """Count the messages of a workspace by journey, step, state and reason."""
    return [Count(**dict(row)) for row in await connection.fetch(_COUNTS, workspace)]
