"""The board: answers a question about a workspace's KPIs out of the figures that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final

from msgspec import Struct

from clm_common import catalog
from clm_common.clock import Clock
from clm_common.errors import Rejected
from clm_common.store.database import Database
from clm_metrics import queries, views
from clm_metrics.core.calendar import Grain, Period, Zones, from_date, periods, to_date
from clm_metrics.core.funnel import ordered
from clm_metrics.core.kpi import Kpi, series
from clm_metrics.queries import Totals

KPIS: Final = Path(__file__).parent / "kpis"
"""The catalogue that ships."""

MOST_POINTS: Final = 1_100
"""Points of one series at most: three years of days."""

LAST_DAYS: Final = 30
"""Days, today included, that are answered for when no range is asked for."""

_YEARS: Final = range(1900, 3000)


class Asked(Struct, frozen=True):
    """What a caller wants of a KPI; None where its default is to be taken."""

    lifecycle: str | None = None
    stage: str | None = None
    start: date | None = None
    end: date | None = None
    grain: Grain | None = None
    base: str | None = None


class Board(Struct, frozen=True):
    """Answers questions.

    Attributes:
        database: the schema of metrics.
        clock: tells which day it is.
        kpis: the catalogue, by key.
        zones: the time zones of workspaces without figures.
        order: the configured order of stages, by lifecycle.
        main: the key of the main lifecycle.
    """

    database: Database
    clock: Clock
    kpis: Mapping[str, Kpi]
    zones: Zones
    order: Mapping[str, tuple[str, ...]]
    main: str

    def kpi(self, key: str) -> Kpi:
        """Give a definition.

        Raises:
            Rejected: there is none of that key.
        """
        if key not in self.kpis:
            known = sorted(self.kpis)
            raise Rejected(
                404, "kpi.unknown", f"there is no KPI {key!r}; choose one of {', '.join(known)}"
            )
        return self.kpis[key]

    async def stages(self, workspace: str, lifecycle: str | None) -> views.Stages:
        """Show the funnel of each lifecycle, or of one.

        Raises:
            Rejected: the lifecycle is unknown.
            Unavailable: PostgreSQL is away.
        """
        async with queries.snapshot(self.database) as db:
            calendar = await queries.calendar(db, workspace, self.zones)
            today = calendar.day(self.clock.now())
            totals = await queries.totals(db, workspace)
            lately = await queries.lately(db, workspace, today)
        wanted = sorted(totals) if lifecycle is None else [self._known(lifecycle, totals)]
        found = {each: totals.get(each, Totals()) for each in wanted}
        funnels = [
            views.funnel_of(each, self._ordered(each, it), it, lately) for each, it in found.items()
        ]
        return views.stages_of(workspace, calendar, today, funnels)

    async def figures(self, workspace: str, kpi: Kpi, asked: Asked) -> views.Figures:
        """Show a KPI per stage and period.

        Raises:
            Rejected: the lifecycle or stage is unknown, or the range makes no sense.
            Unavailable: PostgreSQL is away.
        """
        grain = asked.grain or Grain(kpi.default("grain"))
        kind, measure = kpi.figure.kind, kpi.figure.measure
        async with queries.snapshot(self.database) as db:
            calendar = await queries.calendar(db, workspace, self.zones)
            today = calendar.day(self.clock.now())
            span = span_of(asked, today, grain)
            totals = await queries.totals(db, workspace)
            lifecycle = self._known(asked.lifecycle or self._main(totals), totals)
            of = (workspace, lifecycle, measure)
            kept = await queries.kept(db, of, span, grain, level=kind == "level")
        order = self._ordered(lifecycle, totals.get(lifecycle, Totals()))
        base = asked.base or kpi.default("base")
        found = series(kind, order, kept, periods=span, today=today, base=base)
        chosen = _chosen(asked.stage, order)
        return views.Figures(
            key=kpi.key,
            title=kpi.title,
            unit=kpi.unit,
            lifecycle=lifecycle,
            time_zone=calendar.name,
            grain=grain,
            start=to_date(span[0].start),
            end=to_date(span[-1].end),
            series=[views.series_of(each) for each in found if each.stage in chosen],
        )

    def _ordered(self, lifecycle: str, totals: Totals) -> tuple[str, ...]:
        return ordered(totals.reached, totals.position, self.order.get(lifecycle, ()))

    def _main(self, totals: Mapping[str, Totals]) -> str:
        """Give the main lifecycle; the only one, where the river tells of no other."""
        return self.main if self.main in totals or len(totals) != 1 else next(iter(totals))

    def _known(self, lifecycle: str, totals: Mapping[str, Totals]) -> str:
        """Refuse a lifecycle that is misspelt, as far as that can be told: if others are known."""
        known = sorted({*totals, *self.order})
        if totals and lifecycle not in known:
            raise Rejected(
                404,
                "lifecycle.unknown",
                f"no stage change of lifecycle {lifecycle!r} has arrived in this workspace; "
                f"known: {', '.join(known)}",
            )
        return lifecycle


def load_kpis(folder: Path = KPIS) -> dict[str, Kpi]:
    """Read the catalogue.

    Raises:
        DefinitionError: a definition in it cannot be right.
    """
    return {key: entry.definition for key, entry in catalog.load(folder, Kpi).items()}


def span_of(asked: Asked, today: int, grain: Grain) -> list[Period]:
    """Give the periods that a caller asks for; by default the last 30 days, today included.

    Raises:
        Rejected: the range is empty, too long, or outside of any calendar of use.
    """
    end = today + 1 if asked.end is None else _day("to", asked.end)
    start = end - LAST_DAYS if asked.start is None else _day("from", asked.start)
    if start >= end:
        raise Rejected(
            422,
            "range.empty",
            f"from ({to_date(start)}) must lie before to ({to_date(end)}); "
            "to is the day after the last one",
        )
    span = periods(start, end, grain)
    if len(span) > MOST_POINTS:
        raise Rejected(
            422,
            "range.too_long",
            f"{len(span)} points; ask for at most {MOST_POINTS}: a shorter range or a longer grain",
            points=len(span),
            most=MOST_POINTS,
        )
    return span


def _day(name: str, asked: date) -> int:
    if asked.year not in _YEARS:
        raise Rejected(
            422,
            "range.out_of_bounds",
            f"{name} ({asked}) must lie in the years {_YEARS.start} to {_YEARS.stop - 1}",
        )
    return from_date(asked)


def _chosen(stage: str | None, order: Sequence[str]) -> Sequence[str]:
    """Give the stages to show; like a lifecycle, one is refused only if others are known."""
    if stage is None:
        return order
    if order and stage not in order:
        raise Rejected(
            404, "stage.unknown", f"there is no stage {stage!r}; known: {', '.join(order)}"
        )
    return [stage]
