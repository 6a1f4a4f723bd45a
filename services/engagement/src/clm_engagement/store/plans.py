"""Planned messages: what planning reads and writes, and what news about a person changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from clm_common.errors import RaceLost
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_engagement.core.journey import PENDING, Message
from clm_engagement.store import Row, columns

_PLANNED: Final = """
    SELECT id, workspace, journey, step, channel, enrolment, profile_id, cause, entered_at, state,
        reason
    FROM message WHERE profile_id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
"""

_SAVE: Final = """
    INSERT INTO message AS old (id, workspace, journey, step, channel, enrolment, profile_id, cause,
        entered_at, state, reason, due_at, settled_at, planned_at)
    SELECT *, $14::timestamptz FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[],
        $5::text[], $6::text[], $7::uuid[], $8::uuid[], $9::timestamptz[], $10::text[],
        $11::text[], $12::timestamptz[], $13::timestamptz[])
    ON CONFLICT (id) DO UPDATE SET
        cause = excluded.cause, entered_at = excluded.entered_at, state = excluded.state,
        reason = excluded.reason, due_at = excluded.due_at, settled_at = excluded.settled_at,
        waits_for = NULL
    WHERE old.state IN ('pending', 'skipped')
"""

_WAKE: Final = """
    UPDATE message m SET due_at = $2, waits_for = NULL
    FROM identity i
    WHERE i.id = m.profile_id AND m.state = 'pending' AND m.waits_for IS NOT NULL
        AND i.profile_id IN (SELECT profile_id FROM identity WHERE id = ANY($1::uuid[]))
"""

_REPOINT: Final = """
    WITH mine AS (
        SELECT DISTINCT ON (i.profile_id, m.journey, m.step, m.enrolment, m.workspace)
            m.id, i.profile_id AS person
        FROM identity i JOIN message m ON m.profile_id = i.id
        WHERE i.id = ANY($1::uuid[]) AND m.person_id <> i.profile_id
            AND m.state IN ('sending', 'sent', 'unknown')
            AND NOT EXISTS (
                SELECT FROM message other
                WHERE (other.person_id, other.journey, other.step, other.enrolment, other.workspace)
                    = (i.profile_id, m.journey, m.step, m.enrolment, m.workspace)
                    AND other.state IN ('sending', 'sent', 'unknown'))
        ORDER BY i.profile_id, m.journey, m.step, m.enrolment, m.workspace, m.id)
    UPDATE message m SET person_id = mine.person FROM mine WHERE m.id = mine.id
"""


async def load_planned(tx: Connection, profiles: Collection[UUID]) -> dict[UUID, Message]:
    """Load and lock the messages of some profiles, by id."""
    return {row["id"]: _message(row) for row in await tx.fetch(_PLANNED, list(profiles))}


async def save_planned(tx: Connection, messages: Sequence[Message], *, now: int) -> None:
    """Write messages that are new or planned anew; a pending one is due at once."""
    rows = [_row(it, now) for it in sorted(messages, key=lambda it: it.id)]
    if rows:
        await tx.execute(_SAVE, *columns(rows, 13), to_datetime(now))


async def wake_waiting(tx: Connection, identities: Collection[UUID], *, now: int) -> None:
    """Make the waiting messages of these identities' persons due: something has changed."""
    if identities:
        await tx.execute(_WAKE, sorted(identities), to_datetime(now))


async def repoint(tx: Connection, identities: Collection[UUID]) -> None:
    """Count what moved identities have had for those who own them now.

    Raises:
        RaceLost: a message to the same person was claimed at this moment.
    """
    if not identities:
        return
    try:
        await tx.execute(_REPOINT, sorted(identities))
    except asyncpg.UniqueViolationError as error:
        raise RaceLost("message.race", "a message to the same person was just claimed") from error


def _row(it: Message, now: int) -> tuple[object, ...]:
    pending = it.state == PENDING
    return (
        it.id,
        it.workspace,
        it.journey,
        it.step,
        it.channel,
        it.enrolment,
        it.profile,
        it.cause,
        to_datetime(it.entered_at),
        it.state,
        it.reason,
        to_datetime(now) if pending else None,
        None if pending else to_datetime(now),
    )


def _message(row: Row) -> Message:
    return Message(
        row["id"],
        row["workspace"],
        row["journey"],
        row["step"],
        row["channel"],
        row["enrolment"],
        row["profile_id"],
        row["cause"],
        from_datetime(row["entered_at"]),
        row["state"],
        row["reason"],
    )
