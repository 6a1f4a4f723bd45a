"""Each kind of condition, one by one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from clm_stage_engine.core.facts import Memory, Tally
from clm_stage_engine.core.fold import Touch, fold, order
from tests.support.timelines import day, lifecycle, run, touch, when


def entered(condition: str, *events: tuple[str, float], until: float = 0) -> float | None:
    """Give the day on which the second stage was entered."""
    touches = [touch(event, at) for event, at in events]
    timeline = run(when(condition), *touches, until=until)
    return timeline[1][0] if len(timeline) > 1 else None


def test_an_event_is_known_by_its_name() -> None:
    assert entered("{event: A}", ("a", 0), ("B", 1), ("A", 2)) == 2


def test_any_of_several_names_is_the_event() -> None:
    assert entered("{event: [A, B]}", ("C", 0), ("B", 1), ("A", 2)) == 1


def test_nth_is_that_occurrence_and_no_other() -> None:
    assert entered("{event: A, nth: 2}", ("A", 0), ("B", 1), ("A", 2)) == 2
    assert entered("{event: A, nth: 2}", ("A", 0), ("B", 1)) is None
    assert entered("{event: [A, B], nth: 3}", ("A", 0), ("B", 1), ("A", 2)) == 2


def test_an_nth_occurrence_that_was_before_the_stage_is_gone() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: B}}",
        "{from: b, to: c, when: {event: A, nth: 1}}",
        stages="abc",
    )

    touches = [touch("A", 0), touch("B", 1), touch("A", 2)]

    assert run(definition, *touches) == [(0, "a"), (1, "b")]


def test_a_type_is_known_whatever_the_event() -> None:
    definition = when("{type: identify}")

    assert run(definition, touch(None, 0, kind="page"), touch(None, 1, kind="identify"))[-1] == (
        1,
        "b",
    )
    assert run(definition, touch("identify", 1)) == [(1, "a")]


def test_every_tracked_event_is_of_type_track() -> None:
    definition = when("{type: track}")

    assert run(definition, touch(None, 0, kind="page"), touch("Whatever", 1))[-1] == (1, "b")
    assert run(definition, touch(None, 0, kind="page"), touch(None, 1, kind="track"))[-1] == (
        1,
        "b",
    )


def test_a_page_named_like_an_event_is_not_that_event() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {any: [{event: A}, {count: A, gte: 1}]}}", stages="ab"
    )

    assert run(definition, touch("A", 0, kind="page")) == [(0, "a")]
    denied = when("{all: [{type: page}, {not: {event: A}}]}")
    assert run(denied, touch("A", 0, kind="page")) == [(0, "a"), (0, "b")]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [("gte: 2", 1), ("gt: 2", 2), ("lt: 2", 0), ("lte: 2", 0), ("eq: 3", 2), ("ne: 1", 1)],
)
def test_a_count_is_compared_when_its_event_happens(comparison: str, expected: float) -> None:
    events = [("A", 0.0), ("A", 1.0), ("A", 2.0), ("A", 3.0)]

    assert entered(f"{{count: A, {comparison}}}", *events) == expected


def test_a_count_adds_up_several_events() -> None:
    assert entered("{count: [A, B], gte: 3}", ("A", 0), ("B", 1), ("C", 2), ("A", 3)) == 3


def test_a_window_holds_what_is_younger_than_it() -> None:
    assert entered("{count: A, gte: 2, within: 2d}", ("A", 0), ("A", 2), ("A", 3.99)) == 3.99
    assert entered("{count: A, gte: 2, within: 2d}", ("A", 0), ("A", 1.99)) == 1.99
    assert entered("{count: A, gte: 2, within: 2d}", ("A", 0), ("A", 2)) is None


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [("gte: 2", 1), ("gt: 2", 2), ("lt: 2", 0), ("lte: 2", 0), ("eq: 3", 2), ("ne: 1", 1)],
)
def test_a_count_within_a_window_compares_like_any_other(comparison: str, expected: float) -> None:
    events = [("A", 0.0), ("A", 1.0), ("A", 2.0), ("A", 3.0)]

    assert entered(f"{{count: A, {comparison}, within: 9d}}", *events) == expected


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [("lt: 2", 6), ("lte: 1", 6), ("lt: 1", 7), ("eq: 2", 5), ("eq: 0", 7), ("ne: 3", 5)],
)
def test_a_count_that_falls_is_noticed_when_enough_has_left_the_window(
    comparison: str, expected: float
) -> None:
    falling = f"{{count: A, {comparison}, within: 5d}}"
    events = (("A", 0.0), ("A", 1.0), ("A", 2.0))
    definition = lifecycle(
        "{from: a, to: b, when: {count: A, gte: 3}}",
        f"{{from: b, to: c, when: {falling}}}",
        stages="abc",
    )

    timeline = run(definition, *(touch(*event) for event in events), until=100)

    assert timeline == [(0, "a"), (2, "b"), (expected, "c")]


def test_a_denied_count_is_the_opposite_comparison() -> None:
    condition = "{all: [{event: B}, {not: {count: A, gte: 2}}]}"

    assert entered(condition, ("A", 0), ("B", 1)) == 1
    assert entered(condition, ("A", 0), ("A", 0.5), ("B", 1)) is None


@pytest.mark.parametrize(
    ("comparison", "counts"),
    [
        ("gt: 2", [1, 2]),
        ("gte: 2", [1]),
        ("lt: 2", [2, 3]),
        ("lte: 2", [3]),
        ("eq: 2", [1, 3]),
        ("ne: 2", [2]),
    ],
)
def test_a_denied_comparison_holds_where_the_comparison_does_not(
    comparison: str, counts: list[int]
) -> None:
    condition = f"{{all: [{{event: B}}, {{not: {{count: A, {comparison}}}}}]}}"

    held = [
        count
        for count in (1, 2, 3)
        if entered(condition, *(("A", float(at)) for at in range(count)), ("B", 5)) == 5
    ]

    assert held == counts


def test_a_denied_choice_denies_every_part() -> None:
    condition = "{all: [{event: B}, {not: {any: [{count: A, gte: 1}, {count: C, gte: 1}]}}]}"

    assert entered(condition, ("B", 1)) == 1
    assert entered(condition, ("A", 0), ("B", 1)) is None
    assert entered(condition, ("C", 0), ("B", 1)) is None


def test_every_occurrence_but_the_first_can_be_asked_for() -> None:
    condition = "{all: [{event: A}, {not: {event: A, nth: 1}}]}"

    assert entered(condition, ("A", 0), ("A", 1)) == 1


def paid(*amounts: object, condition: str) -> float | None:
    """Give the day (one amount a day) on which the second stage was entered."""
    touches = [touch("A", at, properties={"revenue": it}) for at, it in enumerate(amounts)]
    timeline = run(when(condition), *touches, until=100)
    return timeline[1][0] if len(timeline) > 1 else None


def test_a_sum_reaches_its_amount_to_the_cent() -> None:
    condition = "{sum: properties.revenue, of: A, gte: 0.3}"

    assert paid(0.1, 0.1, 0.1, condition=condition) == 2
    assert paid(0.1, 0.1, 0.09, condition=condition) is None


def test_a_sum_ignores_what_is_no_number() -> None:
    condition = "{sum: properties.revenue, of: A, gte: 10}"

    assert paid("10", None, True, [10], {"value": 10}, 1e300, 10, condition=condition) == 6


def test_a_sum_looks_back_as_far_as_its_window() -> None:
    condition = "{sum: properties.revenue, of: A, gte: 20, within: 2d}"

    assert paid(10, 0, 10, 5, 15, condition=condition) == 4


def test_sums_of_one_property_may_look_back_differently() -> None:
    condition = (
        "{all: [{sum: properties.revenue, of: A, gte: 20, within: 9d}, "
        "{sum: properties.revenue, of: A, lte: 10, within: 2d}]}"
    )

    assert paid(15, 0, 5, condition=condition) == 2


def test_a_sum_rises_when_a_refund_leaves_the_window() -> None:
    condition = "{sum: properties.revenue, of: A, gt: 20, within: 5d}"

    assert paid(-10, 15, 15, condition=condition) == 5


def after_entry(condition: str, *touches: Touch) -> list[tuple[float, str]]:
    """Give the timeline of a profile that enters b by B, where the condition leads to c."""
    moves = ("{from: a, to: b, when: {event: B}}", f"{{from: b, to: c, when: {condition}}}")
    return run(lifecycle(*moves, stages="abc"), *touches, until=100)


def test_what_holds_on_entry_already_moves_nobody_by_itself() -> None:
    touches = [touch("A", 0), touch("A", 1), touch("B", 2)]

    assert after_entry("{count: A, lt: 3, within: 5d}", *touches) == [(0, "a"), (2, "b")]


def test_what_ceased_to_hold_after_the_entry_moves_when_it_holds_again() -> None:
    amounts = enumerate([10, -15, 30])
    touches = [touch("A", at, properties={"revenue": amount}) for at, amount in amounts]
    condition = "{sum: properties.revenue, of: A, gt: 20, within: 5d}"

    assert after_entry(condition, *touches, touch("B", 3)) == [(0, "a"), (3, "b"), (6, "c")]


def test_a_sum_adds_up_several_events_at_a_nested_path() -> None:
    definition = when("{sum: a.b.c, of: [A, B], gte: 3}")
    first, second = ({"b": {"c": amount}} for amount in (1, 2))

    touches = [touch("A", 0), touch("B", 1)]
    bodies = [
        (it.time, it.message_id, it.type, it.event, f'{{"a": {properties}}}'.replace("'", '"'))
        for it, properties in zip(touches, (first, second), strict=True)
    ]

    changes = fold(
        definition, [type(touches[0])(*row[:4], row[4].encode()) for row in bodies], 0
    ).changes

    assert [it.at for it in changes] == [day(0), day(1)]


def test_silence_is_measured_from_the_last_event() -> None:
    assert entered("{silent: 3d, of: A}", ("A", 0), ("A", 2), ("B", 4), until=9) == 5


def test_silence_of_several_events_is_measured_from_the_last_of_them() -> None:
    assert entered("{silent: 3d, of: [A, B]}", ("A", 0), ("B", 2), until=9) == 5


def test_silence_is_measured_from_the_entry_where_that_is_later() -> None:
    assert entered("{silent: 3d, of: A}", ("B", 1), until=9) == 4
    definition = lifecycle(
        "{from: a, to: b, when: {event: B}}",
        "{from: b, to: c, when: {silent: 3d, of: A}}",
        stages="abc",
    )
    assert run(definition, touch("A", 0), touch("B", 2), until=9)[-1] == (5, "c")


def test_the_age_of_the_stage_moves_without_a_touchpoint() -> None:
    assert entered("{in_stage: 36h}", ("B", 1), ("A", 2), until=9) == 2.5


def test_a_minimum_stay_delays_nothing_by_itself() -> None:
    condition = "{all: [{event: A}, {in_stage: 2d}]}"

    assert entered(condition, ("A", 0), ("A", 1), ("A", 2.5), until=9) == 2.5
    assert entered(condition, ("A", 0), ("A", 1), until=9) is None
    assert (
        fold(when(condition), [touch("A", 0)], until=day(9)).state
        == fold(when(condition), [touch("A", 0)], until=0).state
    )


def test_a_deadline_that_finds_its_guard_unmet_waits_for_the_next_one() -> None:
    condition = "{all: [{silent: 3d, of: A}, {count: A, gte: 2}]}"

    assert entered(condition, ("A", 0), ("A", 4), until=9) == 7
    assert entered(condition, ("A", 0), until=9) is None


def test_each_deadline_of_a_move_is_looked_at_in_turn() -> None:
    condition = "{any: [{all: [{silent: 1d, of: A}, {count: B, gte: 1}]}, {in_stage: 3d}]}"

    assert entered(condition, ("A", 0), until=9) == 3
    assert entered(condition, ("B", 0), until=9) == 1


def test_the_first_move_that_holds_is_taken_in_the_order_written() -> None:
    moves = (
        "{from: a, to: b, when: {count: A, gte: 1}}",
        "{from: a, to: c, when: {count: A, gte: 2}}",
    )

    later = lifecycle(moves[1], moves[0], "{from: b, to: c, when: {event: A}}", stages="abc")

    assert run(later, touch("A", 0), touch("A", 1)) == [(0, "a"), (0, "b"), (1, "c")]


def test_two_deadlines_at_one_instant_take_the_move_written_first() -> None:
    moves = (
        "{from: a, to: b, when: {silent: 2d, of: A}}",
        "{from: a, to: c, when: {silent: 2d, of: B}}",
    )

    one = lifecycle(*moves, stages="abc")
    other = lifecycle(*reversed(moves), stages="abc")

    assert run(one, touch("C", 0), until=9) == [(0, "a"), (2, "b")]
    assert run(other, touch("C", 0), until=9) == [(0, "a"), (2, "c")]


def test_deadlines_fire_one_after_the_other_each_at_its_instant() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {in_stage: 2d}}",
        "{from: b, to: c, when: {in_stage: 3d}}",
        "{from: c, to: a, when: {event: A}}",
        stages="abc",
    )

    timeline = run(definition, touch("A", 0), touch("A", 9), until=12)

    assert timeline == [(0, "a"), (2, "b"), (5, "c"), (9, "a"), (11, "b")]


def test_touchpoints_at_one_instant_are_folded_by_message_id() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: A}}", "{from: b, to: c, when: {event: B}}", stages="abc"
    )

    assert run(definition, touch("A", 1, "m1"), touch("B", 1, "m2"))[-1] == (1, "c")
    assert run(definition, touch("A", 1, "m2"), touch("B", 1, "m1"))[-1] == (1, "b")


def test_what_a_profile_remembers_is_bounded_by_what_its_conditions_ask() -> None:
    definition = when("{all: [{event: Never}, {count: A, gte: 3, within: 9d}]}")

    state = fold(definition, order([touch("A", at) for at in range(50)]), until=0).state

    assert state is not None
    assert [memory.times for memory in state.facts] == [(day(47), day(48), day(49))]
    assert [memory.total for memory in state.facts] == [0]


def test_a_sum_for_ever_remembers_one_number() -> None:
    definition = when("{all: [{event: Never}, {sum: properties.revenue, of: A, gte: 9}]}")

    touches = [touch("A", at, properties={"revenue": at}) for at in range(50)]
    state = fold(definition, order(touches), until=0).state

    assert state is not None
    assert state.facts == (Memory(tallies=(Tally(Decimal(1225_000_000)),)),)


def test_amounts_are_forgotten_once_they_left_the_longest_window() -> None:
    definition = when(
        "{all: [{event: Never}, {sum: properties.revenue, of: A, gte: 9, within: 3d}]}"
    )

    touches = [touch("A", at, properties={"revenue": at}) for at in range(50)]
    state = fold(definition, order(touches), until=0).state

    assert state is not None
    assert state.facts[0].tallies[0].amounts == (47_000_000, 48_000_000, 49_000_000)
    assert state.facts[0].tallies[0].total == 0
