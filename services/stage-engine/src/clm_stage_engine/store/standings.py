"""Where people stand in the lifecycles that run beside the main one, as rows.

They belong to the profile's row: they are read after it and written after it, under the check of
its version.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.fold import pack, unpack
from clm_stage_engine.profiles import Entry, Standing
from clm_stage_engine.store.columns import columns

Row = Any  # Any: asyncpg publishes no types; a record

_LOAD: Final = """
    SELECT profile_id, lifecycle, definition, stage, stage_since, state FROM profile_standing
    WHERE profile_id = ANY($1::uuid[]) ORDER BY profile_id, lifecycle
"""
_SAVE: Final = """
    INSERT INTO profile_standing AS known
        (profile_id, lifecycle, workspace, stage, stage_since, definition, state)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[],
        $6::text[], $7::bytea[])
    ON CONFLICT (profile_id, lifecycle) DO UPDATE SET
        stage = excluded.stage, stage_since = excluded.stage_since,
        definition = excluded.definition, state = excluded.state
"""
_END: Final = """
    DELETE FROM profile_standing AS known WHERE profile_id = ANY($1::uuid[]) AND NOT EXISTS (
        SELECT FROM unnest($2::uuid[], $3::text[]) AS kept (profile_id, lifecycle)
        WHERE kept.profile_id = known.profile_id AND kept.lifecycle = known.lifecycle)
"""
_FORGET: Final = "DELETE FROM profile_standing WHERE profile_id = ANY($1::uuid[])"


async def load(tx: Connection, entries: Iterable[Entry]) -> list[Entry]:
    """Give profiles with where they stand in the lifecycles beside the main one, by key."""
    known = list(entries)
    found = await rows(tx, [it.id for it in known]) if known else {}
    return [replace(it, further=read(found.get(it.id, ()))) for it in known]


async def rows(tx: Connection, profiles: Collection[UUID]) -> dict[UUID, list[Row]]:
    """Give the rows of profiles, of each by lifecycle; who has none is absent."""
    found: dict[UUID, list[Row]] = {}
    for row in await tx.fetch(_LOAD, list(profiles)):
        found.setdefault(row["profile_id"], []).append(row)
    return found


def read(found: Iterable[Row]) -> tuple[Standing, ...]:
    """Read somebody's rows."""
    return tuple(Standing(it["lifecycle"], it["definition"], unpack(it["state"])) for it in found)


async def save(tx: Connection, entries: Sequence[Entry]) -> None:
    """Write where profiles stand beside the main lifecycle, and delete where they do no longer."""
    kept = [(entry, it) for entry in entries for it in entry.further or ()]
    rows = [
        (
            entry.id,
            it.lifecycle,
            entry.workspace,
            it.state.stage,
            to_datetime(it.state.stage_since),
            it.definition,
            pack(it.state),
        )
        for entry, it in kept
    ]
    names = columns([(entry.id, it.lifecycle) for entry, it in kept], 2)
    await tx.execute(_END, [it.id for it in entries], *names)
    if rows:
        await tx.execute(_SAVE, *columns(rows, 7))


async def forget(tx: Connection, profiles: Collection[UUID]) -> None:
    """Delete what is written of profiles."""
    await tx.execute(_FORGET, list(profiles))
