"""Loads what a batch needs to know, set-wise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final
from uuid import UUID

from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import HISTORICAL, glance
from clm_common.instant import from_datetime, to_datetime, to_rfc3339
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.facts import Kept, Touch
from clm_stage_engine.core.fold import unpack
from clm_stage_engine.core.identity import IdentityRow, Link
from clm_stage_engine.core.ours import type_of
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store.columns import columns

CHUNK: Final = 2_000
"""Touchpoints read at a time: between two the loop goes on with other things."""

Row = Any  # Any: asyncpg publishes no types; a record

_IDENTITIES: Final = """
    SELECT id, workspace, kind, value, profile_id, link_time, link_message, link_user, moves,
        decided
    FROM identity WHERE id = ANY($1::uuid[])
"""

_OTHERS: Final = f"""
    {_IDENTITIES}
    OR profile_id = ANY(ARRAY(SELECT profile_id FROM identity WHERE id = ANY($1::uuid[])))
    OR (link_user = ANY($1::uuid[]) AND link_user <> profile_id)
"""  # noqa: S608 - constants

_PROFILES: Final = """
    SELECT id, workspace, version, home, user_id, touchpoints, definition, state, historical, parted
    FROM profile WHERE id = ANY($1::uuid[])
"""

_UPPER: Final = "SELECT id FROM profile WHERE id > $1 ORDER BY id OFFSET $2 LIMIT 1"

_STRETCH: Final = """
    SELECT id, workspace, version, home, user_id, touchpoints, definition, state, historical, parted
    FROM profile
    WHERE home = $1 AND ($2::text IS NULL OR workspace = $2) AND id > $3
        AND ($4::uuid IS NULL OR id <= $4) AND state IS NOT NULL
    ORDER BY id
"""

_DUE: Final = """
    SELECT id, workspace, version, home, user_id, touchpoints, definition, state, historical, parted
    FROM profile WHERE home = $1 AND wake_at <= $2 ORDER BY wake_at LIMIT $3
"""

_MEMBERS: Final = "SELECT id, profile_id FROM identity WHERE profile_id = ANY($1::uuid[])"

HISTORY: Final = """
    SELECT identity_id, time, source, message_id, body, marks, channel, campaign
    FROM history WHERE identity_id = ANY($1::uuid[])
"""

_STORED: Final = """
    SELECT time, source, message_id FROM history
    WHERE identity_id = ANY($1::uuid[]) AND time = ANY($2::timestamptz[])
"""

_COUNT: Final = """
    SELECT count(*) FROM (
        SELECT FROM history WHERE identity_id = ANY($1::uuid[]) LIMIT $2
    ) AS counted
"""

_TIMELINES: Final = """
    SELECT DISTINCT ON (profile_id, id) *
    FROM stage_change WHERE profile_id = ANY($1::uuid[])
    ORDER BY profile_id, id, version DESC
"""

_EXPLANATIONS: Final = """
    SELECT DISTINCT ON (profile_id, change_id) profile_id, change_id, record
    FROM explanation WHERE profile_id = ANY($1::uuid[])
    ORDER BY profile_id, change_id, version DESC
"""

_REPEATED: Final = """
    SELECT h.identity_id, h.source, h.message_id
    FROM history h
    JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS asked (identity_id, source, message_id)
        USING (identity_id, source, message_id)
    WHERE h.untimed
"""


async def load_identities(tx: Connection, ids: Collection[UUID]) -> list[IdentityRow]:
    """Load identities by id; unknown ones are absent."""
    return [_identity(row) for row in await tx.fetch(_IDENTITIES, list(ids))]


async def load_with_others(tx: Connection, ids: Collection[UUID]) -> list[IdentityRow]:
    """Load identities by id, all others of the same profiles, and devices linked to them."""
    return [_identity(row) for row in await tx.fetch(_OTHERS, list(ids))]


def _identity(row: Row) -> IdentityRow:
    link = row["link_time"] and Link(
        from_datetime(row["link_time"]), row["link_message"], row["link_user"]
    )
    return IdentityRow(
        row["id"],
        row["workspace"],
        row["kind"],
        row["value"],
        row["profile_id"],
        link,
        row["moves"],
        row["decided"],
    )


async def load_profiles(tx: Connection, ids: Collection[UUID]) -> list[Entry]:
    """Load profiles by id; unknown ones are absent."""
    return [entry_of(row) for row in await tx.fetch(_PROFILES, list(ids))]


async def load_due(tx: Connection, home: int, now: int, limit: int) -> list[Entry]:
    """Load the profiles whose deadlines a partition's owner should fire, the oldest first."""
    return [entry_of(row) for row in await tx.fetch(_DUE, home, to_datetime(now), limit)]


async def load_stretch(
    tx: Connection, home: int, workspace: str | None, after: UUID, length: int
) -> tuple[list[Entry], UUID | None]:
    """Load a workspace's people with touchpoints out of the next ids of all people.

    Args:
        tx: the open transaction.
        home: the partition whose owner watches their deadlines.
        workspace: whose people; None for everybody.
        after: the last id of the stretch before.
        length: how many ids of all people, so that a small workspace costs no more than a large.

    Returns:
        The people, and the last id of the stretch; None where it reaches to the end.
    """
    last = await upper(tx, after, length)
    rows = await tx.fetch(_STRETCH, home, workspace, after, last)
    return [entry_of(row) for row in rows], last


async def upper(tx: Connection, after: UUID, length: int) -> UUID | None:
    """Give the last of the next so many ids of all people; None where fewer follow."""
    found: UUID | None = await tx.fetchval(_UPPER, after, length - 1)
    return found


def entry_of(row: Row) -> Entry:
    """Read a profile's row: id, workspace, version, home, user_id, touchpoints and its fold."""
    state = row["state"]
    return Entry(
        row["id"],
        row["workspace"],
        row["version"],
        row["home"],
        row["user_id"],
        row["touchpoints"],
        None if state is None else unpack(state),
        row["definition"],
        row["historical"],
        row["parted"],
    )


async def load_members(tx: Connection, profiles: Collection[UUID]) -> dict[UUID, UUID]:
    """Give, by identity, which of these profiles it belongs to."""
    rows = await tx.fetch(_MEMBERS, list(profiles))
    return {row["id"]: row["profile_id"] for row in rows}


async def load_history(
    tx: Connection, identities: Collection[UUID], before: int | None = None
) -> tuple[dict[UUID, list[Touch]], AbstractSet[str]]:
    """Load the stored touchpoints of identities.

    Args:
        tx: the open transaction.
        identities: whose.
        before: only those from before this instant, µs.

    Returns:
        Those of each identity, in no order, and the message ids of those that were imported.
    """
    found: dict[UUID, list[Touch]] = {each: [] for each in identities}
    imported = set[str]()
    if before is None:
        cursor = await tx.cursor(HISTORY, list(identities))
    else:
        cursor = await tx.cursor(f"{HISTORY} AND time < $2", list(identities), to_datetime(before))
    full = True
    while full:
        rows = await cursor.fetch(CHUNK)
        for row in rows:
            touch = touch_of(row)
            found[row["identity_id"]].append(touch)
            if HISTORICAL in row["marks"]:
                imported.add(touch.message_id)
        full = len(rows) == CHUNK
    return found, imported


def touch_of(row: Row) -> Touch:
    """Read a touchpoint as the fold sees it: time, source, message_id, body, channel, campaign."""
    source, body, told = row["source"], row["body"], row["channel"]
    seen = glance(body)
    type_ = type_of(source, seen.type, seen.event)
    time, name = from_datetime(row["time"]), f"{source}/{row['message_id']}"
    if told is None:
        return Touch(time, name, type_, seen.event, body)
    return Kept(time, name, type_, seen.event, body, told or None, row["campaign"])


async def load_stored(
    tx: Connection, identities: Collection[UUID], times: Collection[int]
) -> set[tuple[int, str]]:
    """Give the time (µs) and the message id of identities' stored touchpoints of some instants."""
    rows = await tx.fetch(_STORED, list(identities), [to_datetime(it) for it in times])
    return {(from_datetime(it["time"]), f"{it['source']}/{it['message_id']}") for it in rows}


async def count_touchpoints(tx: Connection, identities: Collection[UUID], most: int) -> int:
    """Count the stored touchpoints of identities, up to so many."""
    return int(await tx.fetchval(_COUNT, list(identities), most))


async def load_timelines(
    tx: Connection, profiles: Collection[UUID]
) -> dict[UUID, dict[UUID, StageChange]]:
    """Load, by profile and change id, the stage changes that stand (are not retracted)."""
    found: dict[UUID, dict[UUID, StageChange]] = {each: {} for each in profiles}
    for row in await tx.fetch(_TIMELINES, list(profiles)):
        if not row["retracted"]:
            found[row["profile_id"]][row["id"]] = change_of(row)
    return found


async def load_explanations(
    tx: Connection, profiles: Collection[UUID]
) -> dict[UUID, dict[UUID, bytes]]:
    """Load, by profile and change id, the newest record that explains the change."""
    found: dict[UUID, dict[UUID, bytes]] = {each: {} for each in profiles}
    for row in await tx.fetch(_EXPLANATIONS, list(profiles)):
        found[row["profile_id"]][row["change_id"]] = row["record"]
    return found


async def load_repeated(
    tx: Connection, asked: Sequence[tuple[UUID, str, str]]
) -> set[tuple[UUID, str, str]]:
    """Tell which (identity, source, message id) stand in the history as untimed touchpoints."""
    rows = await tx.fetch(_REPEATED, *columns(asked, 3))
    return {(row["identity_id"], row["source"], row["message_id"]) for row in rows}


def change_of(row: Row) -> StageChange:
    """Read a stage change as it was, or is to be, published."""
    return StageChange(
        id=row["id"],
        workspace=row["workspace"],
        profile_id=row["profile_id"],
        version=row["version"],
        lifecycle=row["lifecycle"],
        definition=row["definition"],
        target=row["target"],
        move=row["move"],
        at=to_rfc3339(from_datetime(row["at"])),
        source=row["source"],
        cause=row["cause"],
        user_id=row["user_id"],
        retracted=row["retracted"],
        historical=row["historical"],
        lifecycle_version=row["lifecycle_version"] or None,
    )
