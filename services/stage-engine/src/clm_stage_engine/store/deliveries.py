"""What is to be delivered: planned from the committed facts, claimed, and written off.

A webhook's place in the facts moves in the transaction that plans what it passes, so a crash loses
nothing and plans nothing twice. Whoever holds the row of the place plans; others pass it over.
A delivery names its fact and holds nothing of it: the body is made when it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import Meta, Struct

from clm_common.contracts.stage_change import StageChange
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.outgoing import GONE, State
from clm_stage_engine.cursor import Cursor, Page, cut
from clm_stage_engine.store import reading
from clm_stage_engine.store.columns import columns
from clm_stage_engine.store.webhooks import read_filter

Row = Any  # Any: asyncpg publishes no types; a record

CLAIM: Final = timedelta(seconds=60)
"""How long a delivery is somebody's; longer than any try takes."""

PLACES: Final = 64
"""Places moved on at a time."""

PIECE: Final = 200
"""Facts that one place passes at a time."""

KEPT: Final = timedelta(days=3)
KEPT_DEAD: Final = timedelta(days=30)

_BEHIND: Final = f"""
    SELECT place.webhook_id, place.partition, place.seq, webhook.workspace, webhook.filter
    FROM webhook_position AS place JOIN webhook ON webhook.id = place.webhook_id
    WHERE disabled IS NULL AND EXISTS (
        SELECT FROM stage_change AS fact
        WHERE fact.partition = place.partition AND fact.seq > place.seq)
    LIMIT {PLACES} FOR NO KEY UPDATE OF place SKIP LOCKED
"""  # noqa: S608 - constants
_FACTS: Final = f"""
    SELECT place.number, fact.* FROM unnest($1::integer[], $2::integer[], $3::bigint[])
        AS place (number, part, after)
    CROSS JOIN LATERAL (
        SELECT * FROM stage_change WHERE partition = part AND seq > after
        ORDER BY seq LIMIT {PIECE}
    ) AS fact
    ORDER BY fact.partition, fact.seq
"""  # noqa: S608 - constants
_PLAN: Final = """
    INSERT INTO webhook_delivery (webhook_id, partition, seq, profile_id, name)
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::uuid[], $5::text[])
    ON CONFLICT (webhook_id, partition, seq) DO NOTHING
"""
_MOVE: Final = """
    UPDATE webhook_position AS place SET seq = new.seq
    FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS new (webhook_id, partition, seq)
    WHERE place.webhook_id = new.webhook_id AND place.partition = new.partition
"""
_DUE: Final = """
    SELECT id, url FROM webhook WHERE disabled IS NULL AND EXISTS (
        SELECT FROM webhook_delivery AS it
        WHERE it.webhook_id = webhook.id AND it.state = 'waiting' AND it.due_at <= now())
"""
_CLAIM: Final = """
    WITH due AS (
        SELECT id FROM webhook_delivery AS it
        WHERE webhook_id = $1 AND state = 'waiting' AND due_at <= now() AND NOT EXISTS (
            SELECT FROM webhook_delivery AS before
            WHERE before.webhook_id = it.webhook_id AND before.profile_id = it.profile_id
                AND before.state = 'waiting' AND before.id < it.id
                AND (before.claimed OR before.due_at <= now()))
        ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
    )
    UPDATE webhook_delivery AS it
    SET claimed = true, attempts = attempts + 1, due_at = now() + $3::interval
    FROM due WHERE it.id = due.id
    RETURNING it.id, it.attempts, it.partition, it.seq
"""
_CHANGES: Final = """
    SELECT claimed.id AS delivery, claimed.attempts, fact.*
    FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[])
        AS claimed (id, attempts, part, number)
    LEFT JOIN stage_change AS fact ON fact.partition = part AND fact.seq = number
    ORDER BY claimed.id
"""
_SETTLE: Final = """
    UPDATE webhook_delivery AS it SET claimed = false, state = new.state, last_at = now(),
        due_at = now() + new.wait, status = new.status, reason = new.reason
    FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::interval[], $5::integer[], $6::text[])
        AS new (id, attempts, state, wait, status, reason)
    WHERE it.id = new.id AND it.attempts = new.attempts AND it.claimed
"""
_DISABLE_GONE: Final = f"""
    UPDATE webhook SET disabled = 'gone' FROM webhook_delivery AS it
    WHERE it.id = ANY($1::bigint[]) AND it.status = {GONE} AND webhook.id = it.webhook_id
        AND webhook.disabled IS NULL
"""  # noqa: S608 - a constant
_RELEASE: Final = """
    UPDATE webhook_delivery AS it SET claimed = false, attempts = it.attempts - 1, due_at = now()
    FROM unnest($1::bigint[], $2::integer[]) AS new (id, attempts)
    WHERE it.id = new.id AND it.attempts = new.attempts AND it.claimed
"""
_PURGE: Final = """
    DELETE FROM webhook_delivery WHERE id IN (
        SELECT id FROM webhook_delivery
        WHERE state <> 'waiting' AND last_at < now() - $1::interval
            AND (state = 'delivered' OR last_at < now() - $2::interval)
        LIMIT 10000)
"""
_PAGE: Final = """
    SELECT * FROM webhook_delivery
    WHERE webhook_id = $1 AND id < $2 AND ($3::text IS NULL OR state = $3)
    ORDER BY id DESC LIMIT $4
"""
_REPLAY: Final = """
    UPDATE webhook_delivery SET state = 'waiting', attempts = 0, due_at = now(), claimed = false
    WHERE webhook_id = $1 AND state = 'dead' AND ($2::bigint[] IS NULL OR id = ANY($2))
"""


class Due(Struct, frozen=True):
    """A webhook that has something to deliver."""

    id: UUID
    url: str


class Claimed(Struct, frozen=True):
    """A delivery that is ours for a while; without a change where its person was erased."""

    id: int
    attempts: int
    change: StageChange | None


class Settled(Struct, frozen=True):
    """What became of a claimed delivery; see `core.outgoing.judge`."""

    id: int
    attempts: int
    state: State
    wait: float
    status: int | None
    reason: str | None


class Delivery(Struct, frozen=True):
    """A delivery as it stands.

    Attributes:
        id: names it.
        message: the webhook id that it is sent under.
        profile: whom it is about.
        state: `waiting`, `delivered` or `dead`.
        attempts: how often it was tried.
        planned_at: since when it waited.
        last_at: when the last try ended.
        next_at: when it is tried next.
        status: the code of the last response.
        reason: why the last try failed.
    """

    id: int
    message: str
    profile: UUID
    state: State
    attempts: int
    planned_at: datetime
    last_at: datetime | None
    next_at: datetime | None
    status: int | None
    reason: str | None


class _Place(Struct, array_like=True, frozen=True):
    id: Annotated[int, Meta(ge=0, le=2**63 - 1)]


_cursor: Final = Cursor(_Place)


async def plan(tx: Connection) -> int:
    """Move places on over the facts that follow; gives how many were passed, 0 at the end."""
    places = await tx.fetch(_BEHIND)
    if not places:
        return 0
    spans = [(number, it["partition"], it["seq"]) for number, it in enumerate(places)]
    facts = await tx.fetch(_FACTS, *columns(spans, 3))
    planned: list[tuple[object, ...]] = []
    reached: dict[int, int] = {}
    filters = [read_filter(it["filter"]) for it in places]
    for row in facts:
        number, place = row["number"], places[row["number"]]
        reached[number] = row["seq"]
        change = reading.change_of(row)
        if change.workspace == place["workspace"] and filters[number].takes(change):
            name = f"{change.id}:{change.version}"
            webhook, part = place["webhook_id"], row["partition"]
            planned.append((webhook, part, row["seq"], change.profile_id, name))
    await tx.execute(_PLAN, *columns(planned, 5))
    moved = [
        (places[number]["webhook_id"], places[number]["partition"], seq)
        for number, seq in reached.items()
    ]
    await tx.execute(_MOVE, *columns(moved, 3))
    return len(facts)


async def due(db: Connection) -> list[Due]:
    """Give the webhooks that have something to deliver now."""
    return [Due(*row) for row in await db.fetch(_DUE)]


async def claim(tx: Connection, webhook: UUID, limit: int) -> list[Claimed]:
    """Take deliveries that are due, oldest first, and of a person only the first."""
    found = await tx.fetch(_CLAIM, webhook, limit, CLAIM)
    rows = await tx.fetch(_CHANGES, *columns([tuple(it) for it in found], 4))
    return [
        Claimed(
            row["delivery"],
            row["attempts"],
            None if row["id"] is None else reading.change_of(row),
        )
        for row in rows
    ]


async def settle(tx: Connection, settled: Sequence[Settled]) -> None:
    """Write down what became of tries; an endpoint that is gone gets nothing any more."""
    rows = [
        (it.id, it.attempts, it.state, timedelta(seconds=it.wait), it.status, it.reason)
        for it in settled
    ]
    await tx.execute(_SETTLE, *columns(rows, 6))
    if gone := [it.id for it in settled if it.status == GONE]:
        await tx.execute(_DISABLE_GONE, gone)


async def release(tx: Connection, claimed: Sequence[Claimed]) -> None:
    """Give back what was claimed and not sent."""
    await tx.execute(_RELEASE, *columns([(it.id, it.attempts) for it in claimed], 2))


async def purge(tx: Connection) -> None:
    """Forget what was delivered days ago, and what has been dead for a month."""
    await tx.execute(_PURGE, KEPT, KEPT_DEAD)


async def page(
    db: Connection, webhook: UUID, state: State | None, wanted: Page
) -> tuple[list[Delivery], str | None]:
    """Give some of a webhook's deliveries, newest first, and the next page's cursor."""
    start = _cursor.read(wanted.cursor) or _Place(2**63 - 1)
    rows = await db.fetch(_PAGE, webhook, start.id, state, wanted.limit + 1)
    shown, last = cut(rows, wanted.limit)
    return [_read(it) for it in shown], last and _cursor.write(_Place(last["id"]))


async def replay(tx: Connection, webhook: UUID, ids: Sequence[int] | None) -> int:
    """Let dead deliveries be tried anew, all or these; gives how many."""
    status: str = await tx.execute(_REPLAY, webhook, None if ids is None else list(ids))
    return int(status.rsplit(" ", 1)[1])


def _read(row: Row) -> Delivery:
    return Delivery(
        row["id"],
        row["name"],
        row["profile_id"],
        row["state"],
        row["attempts"],
        row["planned_at"],
        row["last_at"],
        row["due_at"] if row["state"] == "waiting" else None,
        row["status"],
        row["reason"],
    )
