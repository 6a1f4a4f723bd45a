"""The queue of messages: claimed with a lease, settled once.

Claiming locks the message and, shared, the identity it was planned for, both without waiting;
whoever changes that identity waits for the claim, and sees it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final
from uuid import UUID

import asyncpg

from clm_common.errors import RaceLost
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_engagement.core.contact import Contact
from clm_engagement.core.keyed import Keyed
from clm_engagement.core.permit import Candidate, Fail, Hold, Memory, Send, Skip, Verdict
from clm_engagement.store import Row, columns

_DUE: Final = """
    SELECT m.id, m.workspace, m.journey, m.step, m.channel, m.entered_at, m.attempts,
        i.profile_id AS person, e.retracted
    FROM message m
    JOIN identity i ON i.id = m.profile_id
    JOIN stage_entry e ON e.id = m.cause
    WHERE m.state = 'pending' AND m.due_at <= $1 AND m.channel = ANY($2::text[])
        AND m.journey || '/' || m.step = ANY($3::text[])
    ORDER BY m.due_at, m.id
    LIMIT $4
    FOR UPDATE OF m SKIP LOCKED
    FOR SHARE OF i SKIP LOCKED
"""

_CONTACTS: Final = """
    SELECT DISTINCT ON (i.profile_id, t.field) i.profile_id, t.field, t.value
    FROM identity i JOIN trait t ON t.identity_id = i.id
    WHERE i.profile_id = ANY($1::uuid[])
    ORDER BY i.profile_id, t.field, t.time DESC, t.message_id COLLATE "C" DESC
"""

_ADDRESSES: Final = """
    SELECT i.profile_id, array_agg(DISTINCT t.value) AS told
    FROM identity i JOIN trait t ON t.identity_id = i.id
    WHERE i.profile_id = ANY($1::uuid[]) AND t.field = 'email' AND t.value IS NOT NULL
    GROUP BY i.profile_id
"""

_REACHED_PERSONS: Final = """
    SELECT m.workspace, m.journey, m.step, i.profile_id
    FROM identity i JOIN message m ON m.profile_id = i.id
    WHERE i.profile_id = ANY($1::uuid[]) AND m.state IN ('sending', 'sent', 'unknown')
    UNION
    SELECT workspace, journey, step, person_id
    FROM message
    WHERE person_id = ANY($1::uuid[]) AND state IN ('sending', 'sent', 'unknown')
"""

_REACHED_ADDRESSES: Final = """
    SELECT workspace, journey, step, address_hash FROM message
    WHERE address_hash = ANY($1::bytea[]) AND state IN ('sending', 'sent', 'unknown')
"""

_SUPPRESSED: Final = """
    SELECT workspace, address_hash FROM suppression WHERE address_hash = ANY($1::bytea[])
"""

_SENDING: Final = """
    UPDATE message m
    SET state = 'sending', attempts = m.attempts + 1, due_at = NULL, waits_for = NULL,
        person_id = new.person, address_hash = new.hash,
        lease_until = clock_timestamp() + $4::float8 * interval '1 second'
    FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS new (id, person, hash)
    WHERE m.id = new.id AND m.state = 'pending'
"""

_HELD: Final = """
    UPDATE message m SET due_at = new.until, waits_for = new.reason
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS new (id, reason, until)
    WHERE m.id = new.id AND m.state = 'pending'
"""

_OVER: Final = """
    UPDATE message m
    SET state = new.state, reason = new.reason, due_at = NULL, waits_for = NULL, settled_at = $4,
        person_id = NULL, address_hash = NULL
    FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, state, reason)
    WHERE m.id = new.id AND m.state = 'pending'
"""

_SETTLE: Final = """
    UPDATE message
    SET state = $3, reason = $4, code = $5, settled_at = $6, lease_until = NULL
    WHERE id = $1 AND attempts = $2 AND state IN ('sending', 'unknown')
"""

_POSTPONE: Final = """
    UPDATE message
    SET state = 'pending', reason = NULL, code = $3, due_at = $4, lease_until = NULL,
        settled_at = NULL, person_id = NULL, address_hash = NULL,
        attempts = CASE WHEN $5::boolean THEN attempts ELSE attempts - 1 END
    WHERE id = $1 AND attempts = $2 AND state IN ('sending', 'unknown')
"""

_LOST: Final = """
    UPDATE message SET state = 'unknown', reason = 'interrupted', lease_until = NULL,
        settled_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM message WHERE state = 'sending' AND lease_until < clock_timestamp()
        FOR UPDATE SKIP LOCKED)
    RETURNING id
"""

_EXPIRE_UNDEFINED: Final = """
    UPDATE message SET state = 'skipped', reason = 'undefined', due_at = NULL, waits_for = NULL,
        settled_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM message
        WHERE state = 'pending' AND entered_at < $1 AND NOT journey || '/' || step = ANY($2::text[])
        LIMIT 1000 FOR UPDATE SKIP LOCKED)
    RETURNING id
"""

_DUE_CHANNELS: Final = """
    SELECT DISTINCT channel FROM (
        SELECT channel FROM message
        WHERE state = 'pending' AND due_at <= $1 AND journey || '/' || step = ANY($2::text[])
        ORDER BY due_at, id LIMIT 1000) AS due
"""


async def due_channels(
    connection: Connection, steps: Collection[tuple[str, str]], *, now: int
) -> set[str]:
    """Give the channels on which a message of these steps (journey, step) is due."""
    rows = await connection.fetch(_DUE_CHANNELS, to_datetime(now), _paths(steps))
    return {row["channel"] for row in rows}


async def load_due(
    tx: Connection,
    channels: Collection[str],
    steps: Collection[tuple[str, str]],
    *,
    now: int,
    limit: int,
) -> list[Candidate]:
    """Lock the oldest messages that are due and nobody else holds, with all the gate asks.

    Args:
        tx: the open transaction.
        channels: those that can send now.
        steps: journey and step of what is defined here.
        now: the present instant, µs.
        limit: how many at most.
    """
    rows = await tx.fetch(_DUE, to_datetime(now), list(channels), _paths(steps), limit)
    if not rows:
        return []
    persons = {row["person"] for row in rows}
    contacts = await _contacts(tx, persons)
    told = {it["profile_id"]: it["told"] for it in await tx.fetch(_ADDRESSES, list(persons))}
    return [
        _candidate(row, contacts.get(row["person"], Contact()), told.get(row["person"], ()))
        for row in rows
    ]


def _paths(steps: Collection[tuple[str, str]]) -> list[str]:
    return [f"{journey}/{step}" for journey, step in steps]


async def _contacts(tx: Connection, persons: Collection[UUID]) -> dict[UUID, Contact]:
    fields: dict[UUID, dict[str, str | None]] = {}
    for row in await tx.fetch(_CONTACTS, list(persons)):
        fields.setdefault(row["profile_id"], {})[row["field"]] = row["value"]
    return {person: Contact(**found) for person, found in fields.items()}


def _candidate(row: Row, contact: Contact, others: Sequence[str]) -> Candidate:
    return Candidate(
        row["id"],
        row["workspace"],
        row["journey"],
        row["step"],
        row["channel"],
        row["person"],
        from_datetime(row["entered_at"]),
        row["attempts"],
        row["retracted"],
        contact,
        tuple(others),
    )


async def load_memory(
    tx: Connection, persons: Collection[UUID], hashes: Collection[bytes], keyed: Keyed
) -> Memory:
    """Load what stands against messages to these persons and addresses.

    Args:
        tx: the open transaction.
        persons: the persons.
        hashes: of the addresses; in what is given they stand as here, however they are kept.
        keyed: says how hashes are kept.
    """
    plain = {kept: it for it in hashes for kept in keyed.forms(it)}
    reached = await tx.fetch(_REACHED_PERSONS, list(persons))
    written = await tx.fetch(_REACHED_ADDRESSES, list(plain))
    suppressed = await tx.fetch(_SUPPRESSED, list(plain))
    return Memory(
        frozenset((_key(row), row["profile_id"]) for row in reached),
        frozenset((_key(row), plain[row["address_hash"]]) for row in written),
        frozenset((row["workspace"], plain[row["address_hash"]]) for row in suppressed),
    )


def _key(row: Row) -> tuple[str, str, str]:
    return row["workspace"], row["journey"], row["step"]


async def save_verdicts(
    tx: Connection, verdicts: Iterable[Verdict], *, now: int, lease: float, keyed: Keyed
) -> None:
    """Write what the gate decided; what may be sent is `sending` for `lease` seconds.

    Raises:
        RaceLost: the same person or address was reached at this moment; decide again.
    """
    sends: list[tuple[object, ...]] = []
    holds: list[tuple[object, ...]] = []
    over: list[tuple[object, ...]] = []
    for verdict in verdicts:
        match verdict:
            case Send(candidate, _, hashed):
                sends.append((candidate.id, candidate.person, keyed.kept(hashed)))
            case Hold(message, reason, until):
                holds.append((message, reason, to_datetime(until)))
            case Skip(message, reason):
                over.append((message, "skipped", reason))
            case Fail(message, reason):
                over.append((message, "failed", reason))
    try:
        if sends:
            await tx.execute(_SENDING, *columns(sends, 3), lease)
        if holds:
            await tx.execute(_HELD, *columns(holds, 3))
        if over:
            await tx.execute(_OVER, *columns(over, 3), to_datetime(now))
    except asyncpg.UniqueViolationError as error:
        raise RaceLost("message.race", "the same person or address was just reached") from error


async def settle(  # noqa: PLR0913 - one row's result
    connection: Connection,
    message: UUID,
    attempt: int,
    *,
    state: str,
    reason: str | None,
    code: str | None,
    now: int,
) -> bool:
    """Write what became of an attempt; False where the row tells another story by now."""
    status = await connection.execute(
        _SETTLE, message, attempt, state, reason, code, to_datetime(now)
    )
    return bool(status == "UPDATE 1")


async def postpone(
    connection: Connection, message: UUID, attempt: int, *, code: str, due: int, tried: bool
) -> bool:
    """Put a message back that has certainly not arrived; `tried` tells whether that counts."""
    status = await connection.execute(_POSTPONE, message, attempt, code, to_datetime(due), tried)
    return bool(status == "UPDATE 1")


async def give_up_lost(connection: Connection) -> int:
    """Mark as unknown what somebody was sending who is gone; gives how many."""
    return len(await connection.fetch(_LOST))


async def expire_undefined(
    connection: Connection, steps: Collection[tuple[str, str]], *, live_since: int
) -> int:
    """Skip the messages of steps that nobody defines any more and whose time is over."""
    rows = await connection.fetch(_EXPIRE_UNDEFINED, to_datetime(live_since), _paths(steps))
    return len(rows)
