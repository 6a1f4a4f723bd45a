"""The rows of metrics: stage entries, and the figures kept of them; many in one statement.

A partition's owner writes figures under its partition's number, so that two owners never wait for
one another; a figure is the sum over all partitions. Every function that takes `tx` needs an open
transaction: the one of the batch's fence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from clm_common.contracts.journey import ProfileErased
from clm_common.errors import RaceLost, Unavailable
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.handler import Connection
from clm_common.store import forgotten
from clm_metrics.core.calendar import Calendar, Zones, to_date
from clm_metrics.core.entry import Entry, Person
from clm_metrics.core.ledger import REVISION, Cell, Settlement, figures

SCHEMA: Final = "metrics"

NO_PARTITION: Final = -1
"""Figures that were made anew for a whole workspace belong to no partition."""

_PREFETCH: Final = 5_000

Row = Any  # Any: asyncpg publishes no types; a record

_COLUMNS: Final = (
    "profile_id, lifecycle, workspace, id, version, retracted, at, source, target, cause"
)

_WORKSPACES: Final = "SELECT key, time_zone, revision FROM workspace WHERE key = ANY($1::text[])"

_ADD_WORKSPACES: Final = """
    INSERT INTO workspace (key, time_zone, revision)
    SELECT key, time_zone, $3 FROM unnest($1::text[], $2::text[]) AS new (key, time_zone)
    ORDER BY key
    ON CONFLICT DO NOTHING
"""

_KNOWN: Final = f"""
    SELECT {_COLUMNS}
    FROM stage_entry
    JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS asked (profile_id, lifecycle, workspace)
        USING (profile_id, lifecycle, workspace)
"""  # noqa: S608 - made of constants

# The join lets nothing in that was counted by another time zone than the one that holds now.
_SAVE_ENTRIES: Final = f"""
    INSERT INTO stage_entry AS known ({_COLUMNS})
    SELECT {", ".join("new." + each for each in _COLUMNS.split(", "))}
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::boolean[],
        $7::timestamptz[], $8::text[], $9::text[], $10::text[]) AS new ({_COLUMNS})
    JOIN workspace ON workspace.key = new.workspace AND workspace.revision = $13
    JOIN unnest($11::text[], $12::text[]) AS counted (key, time_zone)
        ON counted.key = workspace.key AND counted.time_zone = workspace.time_zone
    ON CONFLICT (profile_id, lifecycle, workspace, id) DO UPDATE SET
        version = excluded.version, retracted = excluded.retracted, at = excluded.at,
        source = excluded.source, target = excluded.target, cause = excluded.cause
    WHERE (known.version, known.retracted) < (excluded.version, excluded.retracted)
"""  # noqa: S608 - made of constants

_ADD_FIGURES: Final = """
    WITH delta AS MATERIALIZED (
        SELECT *
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::date[], $7::bigint[])
            AS delta (workspace, lifecycle, measure, stage, day, value)
    ),
    days AS (
        INSERT INTO day_figure AS known
            (workspace, lifecycle, measure, stage, day, partition, value)
        SELECT workspace, lifecycle, measure, stage, day, $1, value FROM delta
        ON CONFLICT (workspace, lifecycle, measure, day, stage, partition)
            DO UPDATE SET value = known.value + excluded.value
    )
    INSERT INTO total_figure AS known (workspace, lifecycle, measure, stage, partition, value)
    SELECT workspace, lifecycle, measure, stage, $1, sum(value) FROM delta
    GROUP BY workspace, lifecycle, measure, stage
    HAVING sum(value) <> 0
    ON CONFLICT (workspace, lifecycle, measure, stage, partition)
        DO UPDATE SET value = known.value + excluded.value
"""

_CLEAR: Final = (
    "DELETE FROM day_figure WHERE workspace = $1",
    "DELETE FROM total_figure WHERE workspace = $1",
)

_ADOPT: Final = """
    INSERT INTO workspace (key, time_zone, revision) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET time_zone = excluded.time_zone, revision = excluded.revision
"""

_ENTRIES_OF: Final = f"SELECT {_COLUMNS} FROM stage_entry WHERE profile_id = ANY($1::uuid[])"  # noqa: S608 - made of constants

_FORGET: Final = """
    DELETE FROM stage_entry AS known
    USING unnest($1::uuid[], $2::bigint[]) AS erased (profile_id, version)
    WHERE known.profile_id = erased.profile_id AND known.version <= erased.version
"""

_ALL_OF: Final = f"""
    SELECT {_COLUMNS} FROM stage_entry WHERE workspace = $1 ORDER BY profile_id, lifecycle
"""  # noqa: S608 - made of constants


async def calendars(tx: Connection, workspaces: Collection[str]) -> dict[str, Calendar]:
    """Give the calendars that the figures of workspaces are counted by; unknown ones are absent.

    Raises:
        Unavailable: the figures of one are kept in the meaning of another release of the service,
            which therefore must do the work.
    """
    found: dict[str, Calendar] = {}
    for row in await tx.fetch(_WORKSPACES, list(workspaces)):
        if row["revision"] != REVISION:
            raise Unavailable(
                "metrics.other_revision",
                f"the figures of workspace {row['key']} are of revision {row['revision']}, "
                f"this release counts by {REVISION}: a newer release has taken over",
            )
        found[row["key"]] = Calendar(row["time_zone"])
    return found


async def add_workspaces(tx: Connection, time_zones: Mapping[str, str]) -> None:
    """Note by which time zones the figures of new workspaces are counted; known ones stay."""
    if time_zones:
        await tx.execute(_ADD_WORKSPACES, list(time_zones), list(time_zones.values()), REVISION)


async def known_entries(tx: Connection, people: Collection[Person]) -> list[Entry]:
    """Load everything kept of some people, retracted entries included."""
    if not people:
        return []
    rows = await tx.fetch(
        _KNOWN,
        [each.profile for each in people],
        [each.lifecycle for each in people],
        [each.workspace for each in people],
    )
    return [_entry(row) for row in rows]


async def entries_of(tx: Connection, profiles: Collection[UUID]) -> list[Entry]:
    """Load everything kept of some profiles, in all lifecycles."""
    if not profiles:
        return []
    return [_entry(row) for row in await tx.fetch(_ENTRIES_OF, list(profiles))]


async def forget(tx: Connection, erased: Collection[ProfileErased]) -> None:
    """Delete what is kept of erased people; the figures are without them already."""
    if erased:
        profiles, versions = zip(*[(it.profile_id, it.version) for it in erased], strict=True)
        await tx.execute(_FORGET, list(profiles), list(versions))
        await forgotten.note(tx, erased)


async def book(
    tx: Connection, partition: int, settlement: Settlement, by: Mapping[str, Calendar]
) -> None:
    """Write what a batch changes.

    Args:
        tx: the open transaction.
        partition: whose owner we are.
        settlement: the entries and deltas, decided from `known_entries`.
        by: the calendars they were decided by.

    Raises:
        RaceLost: an entry or a workspace's time zone has changed since it was read.
    """
    if settlement.entries:
        await _save(tx, settlement.entries, by)
        await _add(tx, partition, settlement.deltas)


async def rebuild(tx: Connection, workspace: str, calendar: Calendar) -> None:
    """Make all figures of a workspace anew, counted by another calendar.

    Meanwhile nobody else books: whoever decided by the old calendar loses the race and decides
    again. It reads every entry of the workspace once, in constant memory.
    """
    await tx.execute("LOCK TABLE stage_entry IN SHARE ROW EXCLUSIVE MODE")
    sums: dict[Cell, int] = defaultdict(int)
    entries: list[Entry] = []
    async for row in tx.cursor(_ALL_OF, workspace, prefetch=_PREFETCH):
        entry = _entry(row)
        if entries and entries[0].person != entry.person:
            _sum_up(entries, calendar, sums)
            entries.clear()
        entries.append(entry)
    if entries:
        _sum_up(entries, calendar, sums)
    for statement in _CLEAR:
        await tx.execute(statement, workspace)
    await _add(tx, NO_PARTITION, {cell: value for cell, value in sums.items() if value})
    await tx.execute(_ADOPT, workspace, calendar.name, REVISION)


def _sum_up(entries: Sequence[Entry], calendar: Calendar, sums: dict[Cell, int]) -> None:
    """Add one person's figures."""
    person = entries[0].person
    for local, value in figures(entries, calendar.day).items():
        sums[Cell(person.workspace, person.lifecycle, *local)] += value


async def outdated(tx: Connection, zones: Zones) -> dict[str, Calendar]:
    """Give the workspaces whose figures must be made anew, and the calendars to count by.

    Those of a newer revision are not ours any more.
    """
    return {
        row["key"]: Calendar(zones.of(row["key"]))
        for row in await tx.fetch("SELECT key, time_zone, revision FROM workspace ORDER BY key")
        if row["revision"] < REVISION
        or (row["revision"] == REVISION and row["time_zone"] != zones.of(row["key"]))
    }


async def _save(tx: Connection, entries: Sequence[Entry], by: Mapping[str, Calendar]) -> None:
    status: str = await tx.execute(
        _SAVE_ENTRIES,
        [each.person.profile for each in entries],
        [each.person.lifecycle for each in entries],
        [each.person.workspace for each in entries],
        [each.id for each in entries],
        [each.version for each in entries],
        [each.retracted for each in entries],
        [to_datetime(each.at) for each in entries],
        [each.source for each in entries],
        [each.target for each in entries],
        [each.cause for each in entries],
        list(by),
        [calendar.name for calendar in by.values()],
        REVISION,
    )
    if int(status.rsplit(" ", 1)[1]) != len(entries):
        raise RaceLost("metrics.entries_changed", "an entry or a time zone has changed since")


async def _add(tx: Connection, partition: int, deltas: Mapping[Cell, int]) -> None:
    """Add to the figures, in the order of their keys."""
    cells = sorted(deltas)
    if cells:
        await tx.execute(
            _ADD_FIGURES,
            partition,
            [cell.workspace for cell in cells],
            [cell.lifecycle for cell in cells],
            [cell.measure for cell in cells],
            [cell.stage for cell in cells],
            [to_date(cell.day) for cell in cells],
            [deltas[cell] for cell in cells],
        )


def _entry(row: Row) -> Entry:
    profile, lifecycle, workspace, change, version, retracted, at, source, target, cause = row
    return Entry(
        Person(workspace, lifecycle, profile),
        change,
        version,
        retracted,
        from_datetime(at),
        source,
        target,
        cause,
    )
