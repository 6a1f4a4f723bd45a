"""Sequences, rhythms, stages that were left, and scores, by what happens to people."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import DAY, HOUR
from clm_stage_engine.core.fold import Touch, fold, order
from clm_stage_engine.core.scoring import halved
from tests.support.timelines import day, entered, lifecycle, run, touch


def test_a_sequence_is_completed_by_its_last_step() -> None:
    steps = "{sequence: [A, B], within: 2d, without: C}"

    def a(at: float) -> Touch:
        return touch("A", at)

    def b(at: float) -> Touch:
        return touch("B", at)

    assert entered(steps, a(0), b(1.99)) == 1.99
    assert entered(steps, a(0), b(2)) is None
    assert entered(steps, b(0), a(1)) is None
    assert entered(steps, a(0), touch("C", 0.5), b(1)) is None
    assert entered(steps, a(0), a(1.5), b(3)) == 3
    assert entered("{sequence: [A, A, B]}", a(0), b(1), a(2), b(3)) == 3


def test_what_completed_a_sequence_starts_it_anew() -> None:
    twice = "{sequence: [A, B], times: {gte: 2}}"

    assert entered(twice, touch("A", 0), touch("B", 1), touch("B", 2)) is None
    assert entered(twice, touch("A", 0), touch("B", 1), touch("A", 2), touch("B", 3)) == 3


def test_regularly_is_so_often_in_each_period_back_from_now() -> None:
    weekly = "{regularly: A, every: 7d, periods: 3}"

    assert entered(weekly, *(touch("A", at) for at in (0, 7, 14))) == 14
    assert entered(weekly, *(touch("A", at) for at in (0, 1, 15)), until=60) is None
    assert entered(weekly, *(touch("A", at) for at in (0, 9, 13)), until=60) == 16


def test_who_did_it_often_and_not_any_more_has_stopped() -> None:
    condition = "{stopped: A, for: 3d, before: 4d, times: 2}"

    assert entered(condition, touch("A", 0), touch("A", 2), until=30) == 5
    assert entered(condition, touch("A", 0), touch("A", 4), until=30) is None
    assert entered(condition, touch("A", 0), until=30) is None


def test_who_comes_back_after_a_pause_has_restarted() -> None:
    condition = "{restarted: A, after: 5d}"

    assert entered(condition, touch("A", 0), touch("A", 4), touch("A", 9)) == 9
    assert entered(condition, touch("A", 9)) is None


def test_a_stage_that_was_left_is_remembered_by_any_of_its_names() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: B}}",
        "{from: b, to: a, when: {event: A}}",
        "{from: a, to: c, when: {all: [{event: C}, {been_in: b, within: 5d}]}}",
        stages="abc",
    )
    start = [touch("B", 0), touch("C", 1), touch("A", 2)]

    assert run(definition, *start, touch("C", 6.9))[-1] == (6.9, "c")
    assert run(definition, *start, touch("C", 7))[-1] == (2, "a")
    assert run(definition, touch("C", 1)) == [(1, "a")]


def test_a_score_falls_below_its_bound_at_the_very_microsecond() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {score: {A: 60, B: 40}, half_life: 10d, gte: 100}}",
        "{from: b, to: c, when: {score: {A: 60, B: 40}, half_life: 10d, lt: 50}}",
        stages="abc",
    )

    step = fold(definition, order([touch("A", 0), touch("B", 0)]), until=day(99))

    assert [it.at for it in step.changes] == [day(0), day(0), day(10) + 1]


def test_points_on_a_line_are_used_up_in_time() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {score: {A: 60}, linear: 10d, gte: 100}}",
        "{from: b, to: c, when: {score: {A: 60}, linear: 10d, lte: 60}}",
        stages="abc",
    )

    step = fold(definition, order([touch("A", 0), touch("A", 2)]), until=day(99))

    assert [(it.at, it.target) for it in step.changes] == [
        (day(0), "a"),
        (day(2), "b"),
        (day(6), "c"),
    ]


@given(st.integers(1, 10**12), st.integers(0, 400 * DAY), st.integers(HOUR, 90 * DAY))
def test_halving_is_right_to_the_billionth_and_never_rises(
    points: int, passed: int, half_life: int
) -> None:
    left = halved(points << 40, passed, half_life)

    exact = Decimal(points << 40) * Decimal(2) ** (-Decimal(passed) / Decimal(half_life))
    assert abs(left - exact) <= 2 + exact / 10**9
    assert halved(points << 40, passed + 1, half_life) <= left
    assert halved(points << 40, half_life, half_life) == points << 39
