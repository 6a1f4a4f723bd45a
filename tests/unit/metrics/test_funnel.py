"""The order of the stages and the shares between them."""

from __future__ import annotations

from clm_metrics.core.funnel import Share, ordered, shares


def test_stages_stand_in_the_order_in_which_people_first_enter_them() -> None:
    reached = {"conversion": 60, "reach": 100, "acquisition": 50, "loyalty": 2}
    position = {"conversion": 70, "reach": 0, "acquisition": 55, "loyalty": 6}

    order = ordered(reached, position)

    assert order == ("reach", "acquisition", "conversion", "loyalty")


def test_of_stages_entered_equally_early_the_one_more_people_reach_stands_first() -> None:
    order = ordered({"a": 1, "b": 2, "c": 1}, {"a": 1, "b": 2, "c": 1})

    assert order == ("b", "a", "c")


def test_a_stage_that_nobody_reaches_any_more_is_not_listed() -> None:
    assert ordered({"reach": 3, "gone": 0}, {}) == ("reach",)


def test_a_configured_order_wins_and_lists_stages_nobody_has_reached() -> None:
    order = ordered({"vip": 1, "b": 2}, {"vip": 9, "b": 0}, ("a", "b"))

    assert order == ("a", "b", "vip")


def test_shares_are_exact_counts_of_the_first_or_the_previous_stage() -> None:
    order, reached = ("a", "b", "c"), {"a": 10, "b": 4, "c": 5}

    first = shares(order, reached, previous=False)
    previous = shares(order, reached, previous=True)

    assert first == [Share(10, 10), Share(4, 10), Share(5, 10)]
    assert previous == [Share(10, 10), Share(4, 10), Share(5, 4)]
    assert [each.value for each in previous] == [1.0, 0.4, 1.25]


def test_without_anybody_in_the_denominator_there_is_no_value() -> None:
    assert [each.value for each in shares(("a", "b"), {"b": 1}, previous=False)] == [None, None]


def test_a_lifecycle_without_stages_has_no_shares() -> None:
    assert shares((), {}, previous=True) == []
    assert shares((), {}, previous=False) == []
