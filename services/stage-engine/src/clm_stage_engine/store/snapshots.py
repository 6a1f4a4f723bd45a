"""Snapshots as rows: one for the identity whose own profile it is of, and what they take away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.errors import RaceLost
from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.snapshot import Snapshot, pack, unpack
from clm_stage_engine.store.columns import columns

_LOAD: Final = "SELECT identity_id, data FROM snapshot WHERE identity_id = ANY($1::uuid[])"

_OLDER: Final = """
    SELECT person.id, count(*) AS touchpoints
    FROM profile AS person JOIN identity AS mine ON mine.profile_id = person.id
    JOIN history AS touch ON touch.identity_id = mine.id AND touch.time < $5
    WHERE person.home = $1 AND person.workspace = $2 AND person.id > $3
        AND ($4::uuid IS NULL OR person.id <= $4) AND person.first_seen < $5
    GROUP BY person.id ORDER BY person.id
"""

_LET_GO: Final = "DELETE FROM history WHERE identity_id = ANY($1::uuid[]) AND time < $2"

_FORGET: Final = "DELETE FROM snapshot WHERE identity_id = ANY($1::uuid[])"

_ADD: Final = """
    INSERT INTO snapshot (identity_id, cut, data)
    SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bytea[])
"""


class Older(Struct, frozen=True):
    """Somebody with touchpoints to let go, and how many."""

    profile: UUID
    touchpoints: int


async def load(tx: Connection, identities: Collection[UUID]) -> dict[UUID, Snapshot]:
    """Load the snapshots of identities; most have none."""
    rows = await tx.fetch(_LOAD, list(identities))
    return {row["identity_id"]: unpack(row["data"]) for row in rows}


async def older(
    tx: Connection, home: int, workspace: str, among: tuple[UUID, UUID | None], since: int
) -> list[Older]:
    """Give a partition's people who have touchpoints from before an instant (µs), by id.

    Args:
        tx: the open transaction.
        home: the partition whose owner watches them.
        workspace: whose people.
        among: with ids after the first and up to the second; None for no end.
        since: the instant.
    """
    rows = await tx.fetch(_OLDER, home, workspace, *among, to_datetime(since))
    return [Older(row["id"], row["touchpoints"]) for row in rows]


async def let_go(
    tx: Connection,
    identities: Collection[UUID],
    made: Mapping[UUID, Snapshot],
    *,
    since: int,
    touchpoints: int,
) -> None:
    """Put snapshots in the place of touchpoints, and of the snapshots from before.

    Args:
        tx: the open transaction.
        identities: all identities of the people concerned.
        made: their new snapshots, by the identity whose own profile it is of.
        since: touchpoints before this instant (µs) go.
        touchpoints: how many these must be.

    Raises:
        RaceLost: they are more or less by now.
    """
    ids = list(identities)
    status: str = await tx.execute(_LET_GO, ids, to_datetime(since))
    if int(status.rsplit(" ", 1)[1]) != touchpoints:
        raise RaceLost("store.history_changed", "touchpoints came or went since they were read")
    await forget(tx, ids)
    rows = [(each, to_datetime(it.cut), pack(it)) for each, it in made.items()]
    await tx.execute(_ADD, *columns(rows, 3))


async def forget(tx: Connection, identities: Collection[UUID]) -> None:
    """Delete the snapshots of identities."""
    await tx.execute(_FORGET, list(identities))
