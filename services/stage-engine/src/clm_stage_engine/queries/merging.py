"""Decisions about who is one person, as they are listed, and who they are about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.contracts.ids import ANONYMOUS_ID
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.merging import Bounds, Refusal, groups, profile_of
from clm_stage_engine.cursor import Cursor, Micros, Page, cut
from clm_stage_engine.store import decisions
from clm_stage_engine.store.ids import profile_id
from clm_stage_engine.views import Decision, DecisionPage, Named

Row = Any  # Any: asyncpg publishes no types; a record

_ABOUT: Final = """
    SELECT it.*, undo.id AS undone_by,
        ARRAY(SELECT json_build_array(kind, value)::text
              FROM unnest(it.members) WITH ORDINALITY AS member (id, place)
              JOIN identity USING (id) ORDER BY place) AS identifiers
    FROM decision AS it LEFT JOIN LATERAL (
        SELECT id FROM decision AS undo
        WHERE undo.members && it.members AND undo.undoes = it.id ORDER BY at, id LIMIT 1
    ) AS undo ON true
    WHERE it.workspace = $1
"""
_ONE: Final = f"{_ABOUT} AND it.id = $2"
_OF: Final = f"""
    {_ABOUT} AND it.members && $2::uuid[] AND (it.at, it.id) < ($3, $4)
    ORDER BY it.at DESC, it.id DESC LIMIT $5
"""
_ALL: Final = f"""
    {_ABOUT} AND it.members && $2::uuid[] AND it.recorded_at <= $3 ORDER BY it.at, it.id
"""
_NAMES: Final = """
    SELECT kind, value FROM identity WHERE workspace = $1 AND id = $2
"""


_WHY: Final = {
    "limit": "{}: one person may not have as many",
    "priority": "{}: is stronger, and differs",
}


class _Place(Struct, array_like=True, frozen=True):
    """Where a page ended."""

    at: Micros
    id: UUID


_LAST: Final = _Place(253_402_300_799_999_999, UUID(int=2**128 - 1))
_cursor: Final = Cursor(_Place)


async def one(db: Connection, workspace: str, decision: UUID) -> Decision | None:
    """Give a decision; None where it is not recorded."""
    row = await db.fetchrow(_ONE, workspace, decision)
    return None if row is None else _shown(row)


async def about(
    db: Connection, workspace: str, identities: Sequence[UUID], bounds: Bounds, page: Page
) -> DecisionPage:
    """Give the decisions that name one of these identities, the newest first.

    Args:
        db: an open connection.
        workspace: the workspace's key.
        identities: those of one person.
        bounds: what aliases, matches and links keep to.
        page: which page.

    Raises:
        Rejected: the cursor is none of ours.
    """
    place = _cursor.read(page.cursor) or _LAST
    at = to_datetime(place.at)
    rows = await db.fetch(_OF, workspace, list(identities), at, place.id, page.limit + 1)
    shown, last = cut(rows, page.limit)
    around = await decisions.load_around(db, identities)
    found = groups(around.decisions, around.rows, bounds)
    beyond = sorted(
        (link.time, link.message_id, it.kind, it.value)
        for each in found.beyond
        if (it := around.rows.get(each)) and (link := it.link) and link.user in identities
    )
    return DecisionPage(
        decisions=[_shown(row, found.refused.get(row["id"])) for row in shown],
        beyond_limit=[Named(kind=kind, value=value) for _, _, kind, value in beyond],
        next=None if last is None else _cursor.write(_Place(from_datetime(last["at"]), last["id"])),
    )


async def all_about(
    db: Connection, workspace: str, identities: Sequence[UUID], recorded: datetime
) -> list[Decision]:
    """Give all decisions that name one of these identities, as far as they were recorded."""
    rows = await db.fetch(_ALL, workspace, list(identities), recorded)
    return [_shown(row) for row in rows]


async def name_of(db: Connection, workspace: str, profile: UUID) -> tuple[str, str] | None:
    """Give kind and value of the identifier whose own profile it is; None where it has none."""
    row = await db.fetchrow(_NAMES, workspace, profile)
    return None if row is None else (row["kind"], row["value"])


async def stands_alone(
    db: Connection, workspace: str, named: tuple[str, str], bounds: Bounds
) -> bool:
    """Tell whether splitting an identifier off would leave everybody where they are."""
    identity = profile_id(workspace, *named)
    around = await decisions.load_around(db, [identity])
    found = groups(around.decisions, around.rows, bounds)
    if named[0] != ANONYMOUS_ID:
        return len([each for each in found.group(identity) if each in around.rows]) == 1
    alone = profile_of(identity, found, around.rows) == identity
    return alone and len(found.group(identity)) == 1


def _shown(row: Row, refusal: Refusal | None = None) -> Decision:
    named = [msgspec.json.decode(it, type=tuple[str, str]) for it in row["identifiers"]]
    return Decision(
        id=row["id"],
        kind=row["kind"],
        at=row["at"],
        recorded_at=row["recorded_at"],
        reason=row["reason"],
        author=row["author"],
        cause=row["name"],
        identifiers=[Named(kind=kind, value=value) for kind, value in named],
        undoes=row["undoes"],
        undone_by=row["undone_by"],
        without_effect=None if refusal is None else _WHY[refusal.rule].format(refusal.kind),
    )
