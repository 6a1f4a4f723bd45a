"""What the API reads: figures summed up over all partitions; nothing is recomputed.

Every function takes a connection; a workspace of which nothing is known has no figures.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from clm_common.store.database import Connection, Database
from clm_metrics.core.calendar import Calendar, Grain, Period, Zones, from_date, to_date
from clm_metrics.core.kpi import Kept
from clm_metrics.core.ledger import ENTRIES, POSITION, PRESENT, REACHED

LAST_DAYS: Final = 7
"""Days, today included, of the figure "lately"."""

_TIME_ZONE: Final = "SELECT time_zone FROM workspace WHERE key = $1"

_TOTALS: Final = """
    SELECT lifecycle, measure, stage, sum(value)::bigint AS value
    FROM total_figure WHERE workspace = $1
    GROUP BY lifecycle, measure, stage
    HAVING sum(value) <> 0
"""

_LATELY: Final = f"""
    SELECT known.lifecycle, stage,
        (sum(value) FILTER (WHERE day = $2))::bigint AS today, sum(value)::bigint AS lately
    FROM (SELECT DISTINCT lifecycle FROM total_figure WHERE workspace = $1) AS known
    JOIN day_figure ON day_figure.workspace = $1 AND day_figure.lifecycle = known.lifecycle
        AND measure = '{ENTRIES}' AND day > $2::date - {LAST_DAYS} AND day <= $2
    GROUP BY known.lifecycle, stage
"""  # noqa: S608 - made of constants

_WITHIN: Final = """
    SELECT stage, greatest(date_trunc($4, day::timestamp)::date, $5) AS start,
        sum(value)::bigint AS value
    FROM day_figure
    WHERE workspace = $1 AND lifecycle = $2 AND measure = $3 AND day >= $5 AND day < $6
    GROUP BY stage, start
"""

_BEFORE: Final = """
    SELECT stage, sum(value)::bigint AS value
    FROM (
        SELECT stage, value FROM total_figure
        WHERE workspace = $1 AND lifecycle = $2 AND measure = $3
        UNION ALL
        SELECT stage, -value FROM day_figure
        WHERE workspace = $1 AND lifecycle = $2 AND measure = $3 AND day >= $4
    ) AS part
    GROUP BY stage
"""

_PRESENT: Final = f"""
    SELECT workspace, lifecycle, stage, sum(value)::bigint AS people
    FROM total_figure WHERE measure = '{PRESENT}'
    GROUP BY workspace, lifecycle, stage
    HAVING sum(value) <> 0
"""  # noqa: S608 - made of constants

Sums = Mapping[str, int]


class Lately(Struct, frozen=True):
    """How often a stage was entered today and within the last days, today included."""

    today: int = 0
    lately: int = 0


class Totals(Struct, frozen=True):
    """What a lifecycle's figures sum up to, ever, by stage; what is zero is absent.

    Attributes:
        present: the people in the stage now.
        entries: how often it was entered.
        reached: the people who ever entered it.
        position: see `core.ledger`; it decides the order of the stages.
    """

    present: Sums = {}
    entries: Sums = {}
    reached: Sums = {}
    position: Sums = {}


@asynccontextmanager
async def snapshot(database: Database) -> AsyncGenerator[Connection]:
    """Lend a connection on which every query sees the same moment.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with (
        database.connection() as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield db


async def calendar(db: Connection, workspace: str, zones: Zones) -> Calendar:
    """Give the calendar that a workspace's figures are counted by."""
    kept = await db.fetchval(_TIME_ZONE, workspace)
    return Calendar(kept or zones.of(workspace))


async def totals(db: Connection, workspace: str) -> dict[str, Totals]:
    """Give the totals of every lifecycle of a workspace that has any."""
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in await db.fetch(_TOTALS, workspace):
        found[row["lifecycle"]][row["measure"]][row["stage"]] = row["value"]
    return {
        lifecycle: Totals(
            present=measures[PRESENT],
            entries=measures[ENTRIES],
            reached=measures[REACHED],
            position=measures[POSITION],
        )
        for lifecycle, measures in found.items()
    }


async def lately(db: Connection, workspace: str, today: int) -> dict[tuple[str, str], Lately]:
    """Give the latest entries by lifecycle and stage; what was not entered lately is absent."""
    return {
        (row["lifecycle"], row["stage"]): Lately(row["today"] or 0, row["lately"])
        for row in await db.fetch(_LATELY, workspace, to_date(today))
    }


async def kept(
    db: Connection,
    figure: tuple[str, str, str],
    periods: Sequence[Period],
    grain: Grain,
    *,
    level: bool,
) -> Kept:
    """Sum up a figure for a range of periods.

    Args:
        db: a connection, for a level one of `snapshot`.
        figure: workspace, lifecycle and measure.
        periods: the periods, in order, at least one, all of one grain.
        grain: which.
        level: also sum up what was before the range.
    """
    start, end = to_date(periods[0].start), to_date(periods[-1].end)
    within: dict[str, dict[int, int]] = defaultdict(dict)
    for row in await db.fetch(_WITHIN, *figure, grain.value, start, end):
        within[row["stage"]][from_date(row["start"])] = row["value"]
    before = await db.fetch(_BEFORE, *figure, start) if level else ()
    return Kept(within, {row["stage"]: row["value"] for row in before if row["value"]})


async def present(db: Connection) -> dict[tuple[str, str, str], int]:
    """Count the people by workspace, lifecycle and stage."""
    return {
        (row["workspace"], row["lifecycle"], row["stage"]): row["people"]
        for row in await db.fetch(_PRESENT)
    }
