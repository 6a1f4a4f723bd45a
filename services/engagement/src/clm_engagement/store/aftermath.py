"""What comes after a message was sent: its report, and the recipient's wish to get no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_engagement.core.outcome import Sent, ids_of
from clm_engagement.store import Row

_UNREPORTED: Final = """
    SELECT m.id, m.workspace, m.journey, m.step, m.channel, m.settled_at, r.kind, r.value
    FROM message m
    JOIN identity own ON own.id = m.profile_id
    LEFT JOIN LATERAL (
        SELECT kind, value FROM identity
        WHERE (id = m.profile_id OR profile_id = own.profile_id) AND value IS NOT NULL
        ORDER BY id = m.profile_id DESC, kind = 'user_id' DESC, id LIMIT 1) r ON true
    WHERE m.state = 'sent' AND m.reported_at IS NULL
    ORDER BY m.settled_at
    LIMIT $1
    FOR UPDATE OF m SKIP LOCKED
"""

_REPORTED: Final = "UPDATE message SET reported_at = clock_timestamp() WHERE id = ANY($1::uuid[])"

_SUPPRESS: Final = """
    INSERT INTO suppression (workspace, address_hash, reason, message_id, created_at)
    SELECT workspace, address_hash, $2, id, $3 FROM message
    WHERE id = $1 AND address_hash IS NOT NULL
    ON CONFLICT DO NOTHING
"""

_KNOWN: Final = "SELECT EXISTS (SELECT FROM message WHERE id = $1 AND address_hash IS NOT NULL)"


async def load_unreported(tx: Connection, limit: int) -> list[Sent]:
    """Lock sent messages whose touchpoint is not known to be published."""
    return [_sent(row) for row in await tx.fetch(_UNREPORTED, limit)]


def _sent(row: Row) -> Sent:
    user_id, anonymous_id = ids_of(row["kind"], row["value"])
    return Sent(
        row["id"],
        row["workspace"],
        row["journey"],
        row["step"],
        row["channel"],
        from_datetime(row["settled_at"]),
        user_id,
        anonymous_id,
    )


async def save_reported(tx: Connection, messages: Sequence[UUID]) -> None:
    """Note that the touchpoints of these messages are published."""
    await tx.execute(_REPORTED, list(messages))


async def suppress(tx: Connection, message: UUID, *, reason: str, now: int) -> bool:
    """Never write again to the address a message went to; False where there is no such message."""
    await tx.execute(_SUPPRESS, message, reason, to_datetime(now))
    return bool(await tx.fetchval(_KNOWN, message))
