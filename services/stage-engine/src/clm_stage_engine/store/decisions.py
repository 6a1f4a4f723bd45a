"""The rows of decisions about who is one person."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.identity import IdentityRow
from clm_stage_engine.core.merging import Decision
from clm_stage_engine.core.regrouping import Around
from clm_stage_engine.store import reading

Row = Any  # Any: asyncpg publishes no types; a record

_ABOUT: Final = "SELECT * FROM decision WHERE members && $1::uuid[]"

_ADD: Final = """
    INSERT INTO decision AS known
        (id, workspace, kind, at, name, members, undoes, reason, author, rank)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (id) DO UPDATE
    SET at = excluded.at, name = excluded.name, members = excluded.members, rank = excluded.rank
    WHERE (excluded.at, excluded.name COLLATE "C") < (known.at, known.name COLLATE "C")
"""

_FORGET: Final = (
    """
    DELETE FROM decision WHERE members <@ $1::uuid[] OR
        (members && $1::uuid[] AND NOT EXISTS (
            SELECT FROM identity WHERE id = ANY(members) AND id <> ALL($1::uuid[])))
    """,
    """
    WITH gone AS MATERIALIZED (
        SELECT id, gen_random_uuid() AS nobody FROM unnest($1::uuid[]) AS erased (id))
    UPDATE decision SET reason = NULL, author = NULL, members = (
        SELECT array_agg(coalesce(nobody, member) ORDER BY place)
        FROM unnest(members) WITH ORDINALITY AS it (member, place) LEFT JOIN gone ON id = member)
    WHERE members && $1::uuid[]
    """,
)


async def add(tx: Connection, decisions: Collection[Decision]) -> None:
    """Write decisions down; of one that is repeated the first, by time and name, stands."""
    rows = [
        (
            it.id,
            it.workspace,
            it.kind,
            to_datetime(it.time),
            it.name,
            list(it.members),
            it.undoes,
            it.reason,
            it.author,
            it.rank,
        )
        for it in sorted(decisions, key=_by_id)
    ]
    if rows:
        await tx.executemany(_ADD, rows)


def _by_id(decision: Decision) -> UUID:
    """Sort key: rows are locked in one order, so that two transactions cannot block each other."""
    return decision.id


async def load_around(tx: Connection, identities: Collection[UUID]) -> Around:
    """Load everybody whom decisions about these identities may concern.

    That are those named with them by a decision, those of the same profiles, the users of their
    links, the devices whose links they are, and whoever is so related to one of these.
    """
    decisions: dict[UUID, Decision] = {}
    rows: dict[UUID, IdentityRow] = {}
    asked = set[UUID]()
    while wanted := set(identities) - asked:
        asked |= wanted
        found = [decision_of(row) for row in await tx.fetch(_ABOUT, list(wanted))]
        decisions |= {it.id: it for it in found}
        named = wanted.union(*(it.members for it in found))
        near = await reading.load_with_others(tx, named - set(rows))
        rows |= {it.id: it for it in near}
        identities = named | {it.link.user for it in near if it.link is not None}
        identities |= {it.id for it in near if it.decided}
    return Around(list(decisions.values()), rows)


def decision_of(row: Row) -> Decision:
    """Read a decision."""
    return Decision(
        row["id"],
        row["workspace"],
        row["kind"],
        from_datetime(row["at"]),
        row["name"],
        tuple(row["members"]),
        row["undoes"],
        row["reason"],
        row["author"],
        row["rank"],
    )


async def forget(tx: Connection, identities: Sequence[UUID]) -> None:
    """Delete the decisions about erased identities.

    Where one also names somebody who stays, it may be what keeps them together with others: it
    stays without its reason, and somebody unknown stands in the place of who was erased.
    """
    for statement in _FORGET:
        await tx.execute(statement, identities)
