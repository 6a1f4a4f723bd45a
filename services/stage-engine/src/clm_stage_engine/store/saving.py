"""Writes profiles, each one version after the one that was read.

Few are handed over as arrays, many as packed rows in a temporary table: packing costs the engine a
third less per row, but emptying that table at the commit costs PostgreSQL two milliseconds however
few there are, most of the time that a small batch takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from clm_common.errors import RaceLost
from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_common.store.copying import copy
from clm_stage_engine.core.fold import pack
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store import packing, standings
from clm_stage_engine.store.columns import columns
from clm_stage_engine.store.writing import written

FEW: Final = 150
"""Profiles up to which arrays cost less, the engine and PostgreSQL together: measured."""

_NEXT: Final = """
    CREATE TEMPORARY TABLE IF NOT EXISTS profile_next (
        id uuid, version bigint, home integer, touchpoints bigint, historical boolean,
        parted boolean, workspace text, user_id text, stage text, stage_since timestamptz,
        first_seen timestamptz, last_seen timestamptz, definition text, state bytea,
        wake_at timestamptz
    ) ON COMMIT DELETE ROWS
"""
_ARRAYS: Final = """
    unnest($1::uuid[], $2::bigint[], $3::integer[], $4::bigint[], $5::boolean[], $6::boolean[],
        $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[],
        $12::text[], $13::text[], $14::bytea[], $15::timestamptz[])
    AS next ({})
"""
_COLUMNS: Final = ", ".join(packing.PROFILES)
_SAVE: Final = f"""
    INSERT INTO profile AS known ({_COLUMNS})
    SELECT {_COLUMNS} FROM {{}}
    ON CONFLICT (id) DO UPDATE SET
        version = excluded.version, user_id = excluded.user_id,
        touchpoints = excluded.touchpoints, stage = excluded.stage,
        stage_since = excluded.stage_since, first_seen = excluded.first_seen,
        last_seen = excluded.last_seen, definition = excluded.definition, state = excluded.state,
        wake_at = excluded.wake_at, historical = excluded.historical,
        parted = excluded.parted
    WHERE known.version = excluded.version - 1
"""  # noqa: S608 - made of constants
_SAVE_FEW: Final = _SAVE.format(_ARRAYS.format(_COLUMNS))
_SAVE_MANY: Final = _SAVE.format("pg_temp.profile_next")
_RACED: Final = """
    SELECT id FROM profile WHERE id = ANY($1::uuid[]) AND xmin <> pg_current_xact_id()::xid
"""
"""Those that another transaction wrote last: its version may be the very one we would have."""


class ProfilesRaced(RaceLost):
    """Other transactions changed just these profiles; what was decided about others stands."""

    def __init__(self, profiles: frozenset[UUID]) -> None:
        super().__init__("store.profile_changed", f"{len(profiles)} profiles have changed")
        self.rows = profiles


async def save_profiles(tx: Connection, entries: Iterable[tuple[Entry, int | None]]) -> None:
    """Write profiles, each one version after the one that was read.

    Args:
        tx: the open transaction.
        entries: each with the instant (µs) at which its deadlines want to be looked at.

    Raises:
        ProfilesRaced: some of them, which it names, have another version by now.
    """
    ordered = sorted(entries, key=_by_id)
    if not ordered:
        return
    if len(ordered) <= FEW:
        rows = [_row(entry, wake) for entry, wake in ordered]
        status = await tx.execute(_SAVE_FEW, *columns(rows, len(packing.PROFILES)))
    else:
        packed = [packing.profile(entry, wake) for entry, wake in ordered]
        await tx.execute(_NEXT)
        await copy(tx, "profile_next", packing.PROFILES, packed)
        status = await tx.execute(_SAVE_MANY)
    if written(status) != len(ordered):
        raced = await tx.fetch(_RACED, [entry.id for entry, _ in ordered])
        raise ProfilesRaced(frozenset(row["id"] for row in raced))
    if several := [entry for entry, _ in ordered if entry.further is not None]:
        await standings.save(tx, several)


def _by_id(item: tuple[Entry, int | None]) -> bytes:
    """Sort key: rows are locked in one order, so that two transactions cannot block each other."""
    return item[0].id.bytes  # compared at a fifth of the cost of ids


def _row(entry: Entry, wake: int | None) -> tuple[object, ...]:
    """Give a profile's values in the order of `packing.PROFILES`."""
    state = entry.state
    return (
        entry.id,
        entry.version,
        entry.home,
        entry.touchpoints,
        entry.historical,
        entry.parted,
        state and to_datetime(state.stage_since),
        state and to_datetime(state.first_seen),
        state and to_datetime(state.frontier[0]),
        entry.workspace,
        entry.definition,
        state and state.stage,
        entry.user_id,
        state and pack(state),
        None if wake is None else to_datetime(wake),
    )
