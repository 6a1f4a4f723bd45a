"""Profiles: one, those with an identifier, those in a stage, all of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.ids import ANONYMOUS_ID, profile_id
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import definition_of
from clm_stage_engine.cursor import Cursor, Micros, Name, Page, cut
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.sight import FOREVER, MEMBERS, Seen, Sight
from clm_stage_engine.views import Identity, IdentityPage, Profile, ProfilePage, Standing

Row = Any  # Any: asyncpg publishes no types; a record

DEVICES: Final = 100
"""Anonymous ids listed with a profile."""

_PROFILE: Final = f"""
    SELECT p.*, ARRAY(
        SELECT value FROM identity i WHERE i.profile_id = p.id AND i.kind = '{ANONYMOUS_ID}'
        ORDER BY i.link_time NULLS FIRST, i.value LIMIT {DEVICES}
    ) AS anonymous_ids, (
        SELECT max(cut) FROM snapshot JOIN identity AS mine ON mine.id = identity_id
        WHERE mine.profile_id = p.id
    ) AS kept_from
    FROM profile p WHERE p.workspace = $1 AND p.stage IS NOT NULL
"""  # noqa: S608 - constants
_BY_ID: Final = f"{_PROFILE} AND p.id = $2"
_BY_IDS: Final = f"{_PROFILE} AND p.id = ANY($2::uuid[]) ORDER BY p.id"
_ALL: Final = f"{_PROFILE} AND p.id > $2 ORDER BY p.id LIMIT $3"
_IN_STAGE: Final = f"""
    {_PROFILE} AND p.stage = $2 AND p.stage_since >= $3 AND p.stage_since < $4
    AND (p.stage_since, p.id) > ($5, $6) ORDER BY p.stage_since, p.id LIMIT $7
"""
_STOOD_BESIDE: Final = """
    SELECT profile_id AS id, stage_since FROM profile_standing
    WHERE workspace = $1 AND lifecycle = $2 AND stage = $3
        AND stage_since >= $4 AND stage_since < $5 AND (stage_since, profile_id) > ($6, $7)
    ORDER BY stage_since, profile_id LIMIT $8
"""
_BESIDE: Final = """
    SELECT profile_id, lifecycle, stage, stage_since, definition FROM profile_standing
    WHERE profile_id = ANY($1::uuid[]) ORDER BY profile_id, lifecycle
"""
_IDENTITIES: Final = f"""
    SELECT * FROM ({MEMBERS}) AS mine WHERE (kind, value) > ($4::text, $5::text)
    ORDER BY kind, value LIMIT $6
"""  # noqa: S608 - constants

_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


class _Entered(Struct, array_like=True, frozen=True):
    """Where a page of a stage's people ended."""

    since: Micros
    id: UUID


class _Named(Struct, array_like=True, frozen=True):
    """Where a page of identities ended."""

    kind: Name
    value: Name


class One(Struct, array_like=True, frozen=True):
    """Where a page of profiles ended."""

    id: UUID


_entered: Final = Cursor(_Entered)
_named: Final = Cursor(_Named)
one_cursor: Final = Cursor(One)


async def get(db: Connection, workspace: str, profile: UUID) -> Profile | None:
    """Give a profile as it is now; None where it is in no stage (unknown, or merged away)."""
    row = await db.fetchrow(_BY_ID, workspace, profile)
    return None if row is None else _profile(row)


async def get_at(
    db: Connection, workspace: str, profile: UUID, sight: Sight, main: str | None = None
) -> Profile | None:
    """Give a profile as it stood; None where it was in no stage then.

    Args:
        db: a connection.
        workspace: whose.
        profile: the profile.
        sight: from where one looks back.
        main: the key of the main lifecycle, whose stage is shown first.
    """
    seen = await sights.look_back(db, workspace, profile, sight)
    return None if seen is None else _back_then(seen, sight, main)


async def with_lifecycles(db: Connection, main: str, found: Sequence[Profile]) -> None:
    """Add to profiles where they stand now in every lifecycle, the main one first."""
    of = {it.id: it for it in found}
    for it in found:
        it.lifecycles = {main: _standing(it.stage, it.stage_since, it.definition)}
    for row in await db.fetch(_BESIDE, list(of)):
        digest = definition_of(row["definition"])
        stands = _standing(row["stage"], row["stage_since"], digest)
        of[row["profile_id"]].lifecycles[row["lifecycle"]] = stands


def _standing(stage: str, since: datetime, definition: str) -> Standing:
    return Standing(stage=stage, since=since, definition=definition)


async def named(db: Connection, workspace: str, kind: str, value: str) -> Profile | None:
    """Give the profile that an identifier belongs to."""
    identity = profile_id(workspace, kind, value)
    owner = await sights.owner(db, workspace, identity, FOREVER)
    return None if owner is None else await get(db, workspace, owner)


async def several(db: Connection, workspace: str, ids: Sequence[UUID]) -> list[Profile]:
    """Give profiles by id; those in no stage are absent."""
    return [_profile(row) for row in await db.fetch(_BY_IDS, workspace, ids)]


async def every(db: Connection, workspace: str, page: Page) -> ProfilePage:
    """Give profiles in order of their id."""
    place = one_cursor.read(page.cursor) or One(UUID(int=0))
    rows = await db.fetch(_ALL, workspace, place.id, page.limit + 1)
    shown, last = cut(rows, page.limit)
    return ProfilePage(
        profiles=[_profile(row) for row in shown],
        next=None if last is None else one_cursor.write(One(last["id"])),
    )


async def in_stage(
    db: Connection,
    workspace: str,
    stage: str,
    entered: tuple[datetime | None, datetime | None],
    page: Page,
) -> ProfilePage:
    """Give who is in a stage, optionally entered in [from, until), who came first first."""
    place = _entered.read(page.cursor) or _Entered(from_datetime(_LONG_AGO), UUID(int=0))
    within = entered[0] or _LONG_AGO, entered[1] or FOREVER
    rows = await db.fetch(
        _IN_STAGE, workspace, stage, *within, to_datetime(place.since), place.id, page.limit + 1
    )
    shown, last = cut(rows, page.limit)
    return ProfilePage(
        profiles=[_profile(row) for row in shown],
        next=None
        if last is None
        else _entered.write(_Entered(from_datetime(last["stage_since"]), last["id"])),
    )


async def in_stage_beside(
    db: Connection,
    workspace: str,
    where: tuple[str, str],
    entered: tuple[datetime | None, datetime | None],
    page: Page,
) -> ProfilePage:
    """Give who is in a stage of a lifecycle beside the main one; `where` is its key and the stage.

    See `in_stage`.
    """
    place = _entered.read(page.cursor) or _Entered(from_datetime(_LONG_AGO), UUID(int=0))
    within = entered[0] or _LONG_AGO, entered[1] or FOREVER
    since = to_datetime(place.since)
    rows = await db.fetch(
        _STOOD_BESIDE, workspace, *where, *within, since, place.id, page.limit + 1
    )
    shown, last = cut(rows, page.limit)
    found = {it.id: it for it in await several(db, workspace, [row["id"] for row in shown])}
    return ProfilePage(
        profiles=[found[each] for row in shown if (each := UUID(bytes=row["id"].bytes)) in found],
        next=None
        if last is None
        else _entered.write(_Entered(from_datetime(last["stage_since"]), last["id"])),
    )


async def identities(
    db: Connection, workspace: str, profile: UUID, recorded: datetime, page: Page
) -> IdentityPage:
    """Give the identifiers that belonged to a profile, by kind and value."""
    place = _named.read(page.cursor) or _Named("", "")
    after = place.kind, place.value, page.limit + 1
    rows = await db.fetch(_IDENTITIES, workspace, profile, recorded, *after)
    shown, last = cut(rows, page.limit)
    return IdentityPage(
        profile_id=profile,
        identities=[identity(row) for row in shown],
        next=None if last is None else _named.write(_Named(last["kind"], last["value"])),
    )


def identity(row: Row) -> Identity:
    """Write an identity for people."""
    return Identity(kind=row["kind"], value=row["value"], linked_at=row["link_time"])


def _profile(row: Row) -> Profile:
    return Profile(
        id=row["id"],
        user_id=row["user_id"],
        anonymous_ids=row["anonymous_ids"],
        stage=row["stage"],
        stage_since=row["stage_since"],
        first_seen=row["first_seen"],
        last_seen=row["last_seen"],
        touchpoints=row["touchpoints"],
        version=row["version"],
        definition=definition_of(row["definition"]),
        kept_from=row["kept_from"],
    )


def _back_then(seen: Seen, sight: Sight, main: str | None) -> Profile:
    tally, folded = seen.tally, seen.folded
    change = seen.changes.get(main or "") or next(iter(seen.changes.values()))
    found = Profile(
        id=change["profile_id"],
        user_id=change["user_id"],
        anonymous_ids=_devices(seen.members),
        stage=change["target"],
        stage_since=change["at"],
        first_seen=tally["first_seen"] or change["at"],
        last_seen=max(change["at"], tally["last_seen"] or change["at"]),
        touchpoints=tally["touchpoints"],
        version=max(*(it["version"] for it in seen.changes.values()), tally["version"] or 0),
        definition=change["definition"],
        as_of=None if sight.as_of == FOREVER else sight.as_of,
        recorded=None if sight.recorded == FOREVER else sight.recorded,
        lifecycles={
            key: _standing(it["target"], it["at"], it["definition"])
            for key, it in sorted(seen.changes.items(), key=lambda item: item[0] != main)
        },
    )
    if folded is not None:
        found.kept_from = folded.until
        found.first_seen = folded.first_seen
        if folded.tells(sight):
            found.touchpoints = tally["touchpoints"] + folded.touchpoints
            found.last_seen = max(change["at"], tally["last_seen"] or folded.last_seen)
        else:
            found.touchpoints = found.last_seen = None
    return found


def _devices(members: Sequence[Row]) -> list[str]:
    found = [row["value"] for row in members if row["kind"] == ANONYMOUS_ID]
    return found[:DEVICES]
