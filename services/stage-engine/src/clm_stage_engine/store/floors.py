"""From when on each workspace's history is kept, and how far what is older is folded away.

A floor only rises. It binds `SETTLED` seconds after it was decided: by then every transaction that
did not know of it has ended, so that no touchpoint from before it can be counted any more.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection

SETTLED: Final = 60.0
"""Seconds; far more than a reading of the floors and a transaction may take."""

_FLOORS: Final = """
    SELECT workspace, since, decided_at <= now() - make_interval(secs => $1) AS settled
    FROM history_floor ORDER BY workspace
"""
_RAISE: Final = """
    INSERT INTO history_floor AS known (workspace, since) VALUES ($1, $2)
    ON CONFLICT (workspace) DO UPDATE SET since = excluded.since, decided_at = now()
    WHERE known.since < excluded.since
"""
_OUTDATED: Final = """
    DELETE FROM history_fold AS it USING history_floor AS known
    WHERE it.workspace = known.workspace AND it.since < known.since
"""
_PLACES: Final = """
    SELECT it.workspace, it.since, after, done_at IS NOT NULL AS done
    FROM history_fold AS it JOIN history_floor USING (workspace, since) WHERE partition = $1
"""
_READY: Final = "SELECT count(*) FROM history_fold WHERE workspace = $1 AND since = $2"
_SAVE: Final = """
    INSERT INTO history_fold AS known
        (workspace, since, partition, after, people, touchpoints, done_at)
    VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 THEN now() END)
    ON CONFLICT (workspace, since, partition) DO UPDATE
    SET after = excluded.after, people = known.people + excluded.people,
        touchpoints = known.touchpoints + excluded.touchpoints, done_at = excluded.done_at
"""
_HAS_OLDER: Final = "SELECT EXISTS (SELECT FROM history WHERE time < $1)"
_BEHIND: Final = """
    SELECT EXISTS (
        SELECT FROM history_floor AS floor WHERE (
            SELECT count(done_at) FROM history_fold AS it
            WHERE it.workspace = floor.workspace AND it.since = floor.since
        ) < $1)
"""

START: Final = UUID(int=0)


class Floor(Struct, frozen=True):
    """A workspace's floor: touchpoints before an instant (µs) are let go; whether it binds."""

    workspace: str
    since: int
    settled: bool


class Place(Struct, frozen=True):
    """How far a partition is with a floor.

    Attributes:
        workspace: whose.
        since: the floor, µs.
        after: the last person looked at.
        done: there are no others.
    """

    workspace: str
    since: int
    after: UUID = START
    done: bool = False


async def floors(tx: Connection) -> list[Floor]:
    """Give every workspace's floor; those that keep everything have none."""
    rows = await tx.fetch(_FLOORS, SETTLED)
    return [Floor(row["workspace"], from_datetime(row["since"]), row["settled"]) for row in rows]


async def raise_to(db: Connection, workspace: str, since: int) -> None:
    """Raise a workspace's floor to an instant (µs), if it is lower."""
    await db.execute(_RAISE, workspace, to_datetime(since))
    await db.execute(_OUTDATED)


async def places(tx: Connection, partition: int) -> list[Place]:
    """Give how far a partition is with the present floors; one that has not begun is absent."""
    return [
        Place(row["workspace"], from_datetime(row["since"]), row["after"], row["done"])
        for row in await tx.fetch(_PLACES, partition)
    ]


async def begun(tx: Connection, workspace: str, since: int) -> int:
    """Tell how many partitions have begun with a floor."""
    return int(await tx.fetchval(_READY, workspace, to_datetime(since)))


async def save(
    tx: Connection, partition: int, place: Place, people: int = 0, touchpoints: int = 0
) -> None:
    """Write how far a partition is, and what it has folded away since the last time."""
    since = to_datetime(place.since)
    await tx.execute(
        _SAVE, place.workspace, since, partition, place.after, people, touchpoints, place.done
    )


async def has_older(db: Connection, since: int) -> bool:
    """Tell whether anything is kept from before an instant (µs)."""
    return bool(await db.fetchval(_HAS_OLDER, to_datetime(since)))


async def are_done(db: Connection, partitions: int) -> bool:
    """Tell whether all partitions are done with every floor."""
    return not await db.fetchval(_BEHIND, partitions)


async def look_again(db: Connection) -> None:
    """Have everybody looked at again."""
    await db.execute("DELETE FROM history_fold")
