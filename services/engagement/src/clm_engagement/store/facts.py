"""Registers in rows: the rules of `core.facts` as SQL, so that batches may come in any order.

Rows are written in order of their ids, so that two transactions cannot block each other. Writing
an identity locks it even where nothing changes: that is what keeps two partitions that meet in
one person, and the claim of a message, apart.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_engagement.core.facts import Entry, Facts, Identity, Trait
from clm_engagement.store import Row, columns

_IDENTITIES: Final = """
    INSERT INTO identity AS old (id, workspace, profile_id, kind, value, linked_at, linked_from,
        moves)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[],
        $6::timestamptz[], $7::uuid[], $8::integer[])
    ON CONFLICT (id) DO UPDATE SET
        kind = coalesce(old.kind, excluded.kind),
        value = coalesce(old.value, excluded.value),
        profile_id = CASE WHEN overrules(old, excluded) THEN excluded.profile_id
                          ELSE old.profile_id END,
        linked_at = CASE WHEN overrules(old, excluded) THEN excluded.linked_at
                         ELSE old.linked_at END,
        linked_from = CASE WHEN overrules(old, excluded) THEN excluded.linked_from
                           ELSE old.linked_from END,
        moves = greatest(old.moves, excluded.moves)
    WHERE (old.value IS NULL AND excluded.value IS NOT NULL) OR overrules(old, excluded)
""".replace(
    "overrules(old, excluded)",
    """(CASE
        WHEN old.moves <> excluded.moves THEN excluded.moves > old.moves
        WHEN old.linked_at IS NULL AND excluded.linked_at IS NULL
            THEN excluded.profile_id <> old.id
                 AND (old.profile_id = old.id OR excluded.profile_id < old.profile_id)
        WHEN old.linked_at IS NULL OR excluded.linked_at IS NULL
            THEN excluded.linked_at IS NOT NULL
        WHEN old.linked_at <> excluded.linked_at THEN excluded.linked_at < old.linked_at
        ELSE excluded.linked_from = old.profile_id AND excluded.profile_id <> old.profile_id
    END)""",
)

_OWNERS: Final = """
    SELECT id FROM identity
    WHERE id IN (SELECT profile_id FROM identity WHERE id = ANY($1::uuid[]))
    ORDER BY id FOR UPDATE
"""

_TRAITS: Final = """
    INSERT INTO trait AS old (identity_id, field, value, time, message_id)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    ON CONFLICT (identity_id, field) DO UPDATE SET
        value = excluded.value, time = excluded.time, message_id = excluded.message_id
    WHERE (excluded.time, excluded.message_id COLLATE "C")
        > (old.time, old.message_id COLLATE "C")
"""

_ENTRIES: Final = """
    INSERT INTO stage_entry AS old
        (id, workspace, profile_id, version, lifecycle, source, target, at, retracted, historical)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[],
        $7::text[], $8::timestamptz[], $9::boolean[], $10::boolean[])
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, retracted = excluded.retracted,
        historical = excluded.historical
    WHERE excluded.version > old.version
"""

_ENTRIES_OF: Final = "SELECT * FROM stage_entry WHERE profile_id = ANY($1::uuid[])"


async def save_facts(tx: Connection, facts: Facts) -> None:
    """Take facts into the registers; locks their identities and these identities' owners."""
    identities = sorted(facts.identities.values(), key=lambda it: it.id)
    if identities:
        await tx.execute(_IDENTITIES, *columns([_identity(it) for it in identities], 8))
        await tx.fetch(_OWNERS, [it.id for it in identities])
    if facts.traits:
        traits = [_trait(facts.traits[key]) for key in sorted(facts.traits)]
        await tx.execute(_TRAITS, *columns(traits, 5))
    if facts.entries:
        entries = [_entry(facts.entries[key]) for key in sorted(facts.entries)]
        await tx.execute(_ENTRIES, *columns(entries, 10))


async def load_entries(tx: Connection, profiles: Collection[UUID]) -> list[Entry]:
    """Load every stage entry of some profiles, retracted ones included."""
    return [_read_entry(row) for row in await tx.fetch(_ENTRIES_OF, list(profiles))]


def _identity(it: Identity) -> tuple[object, ...]:
    linked = None if it.linked_at is None else to_datetime(it.linked_at)
    return it.id, it.workspace, it.owner, it.kind, it.value, linked, it.linked_from, it.moves


def _trait(it: Trait) -> tuple[object, ...]:
    return it.identity, it.field, it.value, to_datetime(it.time), it.message_id


def _entry(it: Entry) -> tuple[object, ...]:
    return (
        it.id,
        it.workspace,
        it.profile,
        it.version,
        it.lifecycle,
        it.source,
        it.target,
        to_datetime(it.at),
        it.retracted,
        it.historical,
    )


def _read_entry(row: Row) -> Entry:
    return Entry(
        row["id"],
        row["workspace"],
        row["profile_id"],
        row["version"],
        row["lifecycle"],
        row["source"],
        row["target"],
        from_datetime(row["at"]),
        row["retracted"],
        row["historical"],
    )
