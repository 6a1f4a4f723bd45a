"""KPI definitions, the shipped ones and wrong ones, and the points made of kept sums."""

from __future__ import annotations

from pathlib import Path

import pytest

import clm_metrics
from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_metrics.core.calendar import Grain, periods
from clm_metrics.core.funnel import Share
from clm_metrics.core.kpi import Kept, Kpi, State, series

KPIS = Path(clm_metrics.__file__).parent / "kpis"
TODAY = 20_000


def test_every_shipped_definition_loads() -> None:
    found = catalog.load(KPIS, Kpi)

    assert {"people-per-stage", "stage-entries", "stage-conversion"} <= set(found)


def test_a_measure_that_does_not_fit_is_refused_with_its_line() -> None:
    text = (
        (KPIS / "stage-entries.yaml")
        .read_text("utf-8")
        .replace("measure: entries", "measure: present")
    )

    with pytest.raises(DefinitionError, match=r"x\.yaml:8: .*a count is made of entries"):
        catalog.read(text, "x.yaml", Kpi)


def test_an_unknown_key_is_refused() -> None:
    text = (KPIS / "stage-entries.yaml").read_text("utf-8") + "colour: blue\n"

    with pytest.raises(DefinitionError, match="unknown key 'colour'"):
        catalog.read(text, "x.yaml", Kpi)


def test_a_count_is_summed_per_period_and_in_total() -> None:
    days = periods(TODAY - 2, TODAY + 1, Grain.DAY)

    (found,) = series(
        "count", ["a"], Kept({"a": {TODAY - 2: 3, TODAY: 1}}, {}), periods=days, today=TODAY
    )

    assert [point.value for point in found.points] == [3, 0, 1]
    assert found.total == 4


def test_a_level_goes_on_from_what_was_before_the_range() -> None:
    days = periods(TODAY - 2, TODAY + 1, Grain.DAY)
    kept = Kept({"a": {TODAY - 2: 3, TODAY: -2}}, {"a": 10, "b": 5})

    found, idle = series("level", ["a", "b"], kept, periods=days, today=TODAY)

    assert [point.value for point in found.points] == [13, 13, 11]
    assert found.total == 11
    assert [point.value for point in idle.points] == [5, 5, 5]


def test_a_share_carries_its_counts_and_its_total_is_that_of_all_cohorts() -> None:
    days = periods(TODAY - 2, TODAY, Grain.DAY)
    kept = Kept({"a": {TODAY - 2: 4, TODAY - 1: 6}, "b": {TODAY - 2: 1, TODAY - 1: 3}}, {})

    first, found = series("share", ["a", "b"], kept, periods=days, today=TODAY)

    assert [point.share for point in found.points] == [Share(1, 4), Share(3, 6)]
    assert [point.value for point in found.points] == [0.25, 0.5]
    assert (found.share, found.total) == (Share(4, 10), 0.4)
    assert first.total == 1.0


def test_a_cohort_of_nobody_has_no_share() -> None:
    days = periods(TODAY - 1, TODAY, Grain.DAY)

    found = series("share", ["a", "b"], Kept({}, {}), periods=days, today=TODAY, base="previous")

    assert [point.value for each in found for point in each.points] == [None, None]
    assert [each.total for each in found] == [None, None]


def test_periods_that_are_not_final_are_flagged() -> None:
    weeks = periods(TODAY - 13, TODAY + 15, Grain.WEEK)

    (found,) = series("count", ["a"], Kept({}, {}), periods=weeks, today=TODAY)

    states = [point.state for point in found.points]
    assert states == [State.CUT, State.COMPLETE, State.RUNNING, State.FUTURE, State.FUTURE]
    assert [point.value for point in found.points] == [0, 0, 0, None, None]


def test_a_day_is_complete_as_soon_as_the_next_one_has_begun() -> None:
    days = periods(TODAY - 1, TODAY + 1, Grain.DAY)

    (found,) = series("count", ["a"], Kept({}, {}), periods=days, today=TODAY)

    assert [point.state for point in found.points] == [State.COMPLETE, State.RUNNING]


def test_a_kpi_that_people_could_not_read_about_is_refused() -> None:
    text = (KPIS / "stage-entries.yaml").read_text("utf-8").replace("title: Stage entries\n", "")

    with pytest.raises(DefinitionError, match="needs a title and a description"):
        catalog.read(text, "x.yaml", Kpi)
