"""What the API answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from pydantic import ConfigDict, Field

from clm_common.runtime.models import Answer
from clm_metrics.core import funnel, kpi
from clm_metrics.core.calendar import Calendar, Grain, to_date
from clm_metrics.core.kpi import Kpi, Number, State
from clm_metrics.queries import Lately, Totals


class View(Answer):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True)


class Share(View):
    """A fraction of exact counts."""

    value: float | None = Field(description="The quotient; null where the denominator is 0.")
    numerator: int
    denominator: int


class Entries(View):
    """How often a stage was entered."""

    today: int
    last_7_days: int = Field(description="Today included, by local days.")
    ever: int


class Stage(View):
    """One stage of a funnel."""

    stage: str
    people: int = Field(description="The people in it now.")
    reached: int = Field(description="The people who ever entered it.")
    entries: Entries
    from_first: Share = Field(description="Of the people who ever entered the first stage.")
    from_previous: Share = Field(
        description="Of the people who ever entered the stage before it; may exceed 1 where "
        "people skip stages."
    )


class Funnel(View):
    """A lifecycle's stages, in order."""

    lifecycle: str
    stages: Sequence[Stage]


class Stages(View):
    """The stages of a workspace's lifecycles."""

    workspace: str
    time_zone: str = Field(description="Whose days are counted by.")
    today: date
    lifecycles: Sequence[Funnel]


class Point(View):
    """The figure of one period."""

    start: date = Field(serialization_alias="from", description="Its first local day.")
    end: date = Field(serialization_alias="to", description="The local day after its last.")
    state: State = Field(
        description="running: not over yet; cut: the asked range leaves out a part of it; "
        "future: not begun."
    )
    value: Number
    numerator: int | None = Field(default=None, description="Of a fraction only.")
    denominator: int | None = Field(default=None, description="Of a fraction only.")


class Total(View):
    """The figure of the whole range; of a level, the one at its end."""

    value: Number
    numerator: int | None = Field(default=None, description="Of a fraction only.")
    denominator: int | None = Field(default=None, description="Of a fraction only.")


class Series(View):
    """One stage's points, in order of time."""

    stage: str
    total: Total
    points: Sequence[Point]


class Figures(View):
    """A KPI's series, in the order of the funnel."""

    key: str
    title: str | None
    unit: str
    lifecycle: str
    time_zone: str = Field(description="Whose days are counted by.")
    grain: Grain
    start: date = Field(serialization_alias="from")
    end: date = Field(serialization_alias="to", description="The local day after the last one.")
    series: Sequence[Series]


class Catalogue(View):
    """Every KPI there is."""

    kpis: Sequence[Kpi]


def funnel_of(
    lifecycle: str,
    order: Sequence[str],
    totals: Totals,
    lately: Mapping[tuple[str, str], Lately],
) -> Funnel:
    """Show a lifecycle's stages in this order."""
    first = funnel.shares(order, totals.reached, previous=False)
    previous = funnel.shares(order, totals.reached, previous=True)
    stages: list[Stage] = []
    for index, stage in enumerate(order):
        late = lately.get((lifecycle, stage), Lately())
        ever = totals.entries.get(stage, 0)
        stages.append(
            Stage(
                stage=stage,
                people=totals.present.get(stage, 0),
                reached=totals.reached.get(stage, 0),
                entries=Entries(today=late.today, last_7_days=late.lately, ever=ever),
                from_first=_share(first[index]),
                from_previous=_share(previous[index]),
            )
        )
    return Funnel(lifecycle=lifecycle, stages=stages)


def stages_of(workspace: str, calendar: Calendar, today: int, funnels: Sequence[Funnel]) -> Stages:
    """Show a workspace's lifecycles."""
    return Stages(
        workspace=workspace, time_zone=calendar.name, today=to_date(today), lifecycles=funnels
    )


def series_of(series: kpi.Series) -> Series:
    """Show one stage's points."""
    return Series(
        stage=series.stage,
        total=_total(series.total, series.share),
        points=[_point(point) for point in series.points],
    )


def _point(point: kpi.Point) -> Point:
    """Show a point; what only a fraction has stays unset, and so unsaid, for the others."""
    start, end, share = to_date(point.period.start), to_date(point.period.end), point.share
    if share is None:
        return Point(start=start, end=end, state=point.state, value=point.value)
    return Point(
        start=start,
        end=end,
        state=point.state,
        value=point.value,
        numerator=share.numerator,
        denominator=share.denominator,
    )


def _total(value: Number, share: funnel.Share | None) -> Total:
    if share is None:
        return Total(value=value)
    return Total(value=value, numerator=share.numerator, denominator=share.denominator)


def _share(share: funnel.Share) -> Share:
    return Share(value=share.value, numerator=share.numerator, denominator=share.denominator)
