"""Time travel: whose an identity was and which stage somebody was in, as one believed back then.

Two times: `as_of` in valid time (what had happened by then), `recorded` in recorded time (what we
had written down by then). A late touchpoint, a merge or a deadline seen late corrects the past:
what is valid at an instant may differ from what was believed at that instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.snapshot import unpack

Row = Any  # Any: asyncpg publishes no types; a record

FOREVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

STANDING: Final = """
    SELECT *, (cause IS NOT NULL)::int AS rank, coalesce(cause, id::text) COLLATE "C" AS name,
        CASE WHEN source IS NULL THEN '1' ELSE '2' || id::text END COLLATE "C" AS sub
    FROM (
        SELECT DISTINCT ON (id) * FROM stage_change
        WHERE workspace = $1 AND profile_id = $2 AND recorded_at <= $4
        ORDER BY id, version DESC
    ) AS newest
    WHERE NOT retracted AND at <= $3
"""
"""The stage changes of a profile that stood: $1 workspace, $2 profile, $3 as of, $4 recorded.

Their order is (at, rank, name, sub): deadlines before touchpoints of the same instant, changes by
their cause, whoever appeared before they moved on.
"""

_NEWEST: Final = f"""
    SELECT DISTINCT ON (lifecycle) * FROM ({STANDING}) AS it
    ORDER BY lifecycle, at DESC, rank DESC, name DESC, sub DESC
"""  # noqa: S608 - constants

_OWNER: Final = """
    SELECT coalesce((
        SELECT from_profile FROM identity_moved AS later
        WHERE later.identity_id = known.id AND later.recorded_at > $3
        ORDER BY later.recorded_at LIMIT 1
    ), known.profile_id)
    FROM identity AS known WHERE workspace = $1 AND id = $2 AND recorded_at <= $3
"""

MEMBERS: Final = """
    WITH known AS (
        SELECT id, kind, value, link_time, profile_id FROM identity
        WHERE workspace = $1 AND profile_id = $2 AND recorded_at <= $3
        UNION
        SELECT it.id, it.kind, it.value, it.link_time, it.profile_id
        FROM identity_moved AS moved JOIN identity AS it ON it.id = moved.identity_id
        WHERE moved.workspace = $1 AND moved.profile_id = $2 AND moved.recorded_at > $3
            AND it.recorded_at <= $3
    )
    SELECT known.id, kind, value, link_time FROM known
    LEFT JOIN LATERAL (
        SELECT from_profile FROM identity_moved AS moved
        WHERE moved.identity_id = known.id AND moved.recorded_at > $3
        ORDER BY moved.recorded_at LIMIT 1
    ) AS later ON true
    WHERE coalesce(later.from_profile, known.profile_id) = $2
"""
"""A profile's identities: $1 workspace, $2 profile, $3 recorded."""

_IN_ORDER: Final = f"{MEMBERS} ORDER BY kind DESC, link_time NULLS FIRST, value"

_TALLY: Final = """
    SELECT count(*) AS touchpoints, min(time) AS first_seen, max(time) AS last_seen,
        max(version) FILTER (WHERE profile_id = $4) AS version
    FROM history WHERE identity_id = ANY($1::uuid[]) AND time <= $2 AND recorded_at <= $3
"""


_SNAPSHOTS: Final = "SELECT * FROM snapshot WHERE identity_id = ANY($1::uuid[])"

_KEPT_FROM: Final = "SELECT max(cut) FROM snapshot WHERE identity_id = ANY($1::uuid[])"


class Sight(Struct, frozen=True):
    """From where one looks back.

    Attributes:
        as_of: what happened later is left out.
        recorded: what was written down later is left out.
    """

    as_of: datetime = FOREVER
    recorded: datetime = FOREVER

    @property
    def is_present(self) -> bool:
        """Whether nothing is left out."""
        return self == PRESENT


PRESENT: Final = Sight()


class Folded(Struct, frozen=True):
    """What snapshots say of the touchpoints that they took the place of.

    Attributes:
        until: before this instant nothing else is known.
        since: when that was recorded.
        touchpoints: how many there were.
        first_seen: when the first was.
        last_seen: when the last was, or a deadline since.
    """

    until: datetime
    since: datetime
    touchpoints: int
    first_seen: datetime
    last_seen: datetime

    def tells(self, sight: Sight) -> bool:
        """Whether it says how many touchpoints one sees; only who looks back from later."""
        return sight.as_of >= self.until and sight.recorded >= self.since


class Seen(Struct, frozen=True):
    """A profile as it stood.

    Attributes:
        changes: by lifecycle, the row of the stage change that stood last.
        members: the rows of its identities.
        tally: how many touchpoints are kept, the first and the last, the newest version.
        folded: what is not kept; None where everything is.
    """

    changes: Mapping[str, Row]
    members: Sequence[Row]
    tally: Row
    folded: Folded | None


async def owner(db: Connection, workspace: str, identity: UUID, recorded: datetime) -> UUID | None:
    """Give the profile that an identity belonged to; None where it was not known yet."""
    found: UUID | None = await db.fetchval(_OWNER, workspace, identity, recorded)
    return found


async def members(
    db: Connection, workspace: str, profile: UUID, recorded: datetime
) -> Sequence[Row]:
    """Give the identities that belonged to a profile: id, kind, value, link_time."""
    rows: Sequence[Row] = await db.fetch(_IN_ORDER, workspace, profile, recorded)
    return rows


async def look_back(db: Connection, workspace: str, profile: UUID, sight: Sight) -> Seen | None:
    """Give a profile as it stood; None where it was in no stage."""
    rows = await db.fetch(_NEWEST, workspace, profile, sight.as_of, sight.recorded)
    if not rows:
        return None
    mine = await members(db, workspace, profile, sight.recorded)
    ids = [row["id"] for row in mine]
    tally = await db.fetchrow(_TALLY, ids, sight.as_of, sight.recorded, profile)
    changes = {row["lifecycle"]: row for row in rows}
    return Seen(changes, mine, tally, await folded(db, ids))


async def folded(db: Connection, identities: Sequence[UUID]) -> Folded | None:
    """Tell what was folded away of some identities' touchpoints; None where nothing was."""
    rows = await db.fetch(_SNAPSHOTS, identities)
    if not rows:
        return None
    found = [unpack(row["data"]) for row in rows]
    return Folded(
        max(row["cut"] for row in rows),
        max(row["recorded_at"] for row in rows),
        sum(it.touchpoints for it in found),
        to_datetime(min(it.state.first_seen for it in found)),
        to_datetime(max(it.state.frontier[0] for it in found)),
    )


async def kept_from(db: Connection, identities: Sequence[UUID]) -> datetime | None:
    """Tell from when on these identities' touchpoints are kept; None where all are."""
    found: datetime | None = await db.fetchval(_KEPT_FROM, identities)
    return found
