"""Moves: how long a stage is stayed in, priorities, moves by hand, and what is remembered."""

from __future__ import annotations

import pytest

from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Touch, fold, lapse, order, pack
from clm_stage_engine.core.manual import ByHand
from tests.support.timelines import day, decided, having, lifecycle, run, touch, when

STAYING = """key: sample
start: a
stages: [{key: a}, {key: b, stay: 3d}, {key: c}]
moves:
  - {from: a, to: b, when: {event: A}}
  - {from: b, to: c, when: {count: B, gte: 1}}
  - {from: b, to: a, when: {event: Out}, stay: none}
"""


def test_nobody_is_moved_on_before_the_stage_was_stayed_in() -> None:
    definition = definitions.parse(STAYING)

    assert run(definition, touch("A", 0), touch("B", 1), until=9)[-1] == (3, "c")
    assert run(definition, touch("A", 0), touch("Out", 1), until=9)[-1] == (1, "a")


def test_a_higher_priority_is_tried_first() -> None:
    moves = (
        "{from: a, to: b, when: {event: A}}",
        "{from: a, to: c, when: {event: A, where: {properties.x: 1}}, priority: 1}",
    )
    definition = lifecycle(*moves, stages="abc")

    assert run(definition, having("A", 0, x=1))[-1] == (0, "c")
    assert run(definition, having("A", 0, x=2))[-1] == (0, "b")


def by_hand(stage: str, at: float, key: str = "sample") -> Touch:
    return decided(ByHand(key, stage, "called us", "ada@example.com"), at)


def test_somebody_may_move_a_profile_by_hand_and_a_late_touchpoint_keeps_it() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: A}}", "{from: b, to: c, when: {event: B}}", stages="abc"
    )
    touches = [touch("A", 0), by_hand("c", 2), touch("B", 1)]

    step = fold(definition, order(touches), until=day(9))

    assert [(it.target, it.kind) for it in step.changes] == [
        ("a", "start"),
        ("b", "touchpoint"),
        ("c", "touchpoint"),
    ]
    early = fold(definition, order([touch("A", 0), by_hand("a", 2)]), until=day(9)).changes[-1]
    assert (early.at, early.target, early.kind, early.cause) == (day(2), "a", "manual", "move@2")


def test_a_move_by_hand_in_another_lifecycle_or_to_no_stage_changes_nothing() -> None:
    definition = when("{event: A}")

    assert run(definition, touch("X", 0), by_hand("b", 1, "other")) == [(0, "a")]
    assert run(definition, touch("X", 0), by_hand("nowhere", 1)) == [(0, "a")]
    with pytest.raises(ValueError, match="reason and an author"):
        decided(ByHand("sample", "b", " ", "ada"), 1)


def test_what_is_remembered_stays_small_whatever_happens() -> None:
    definition = lifecycle(
        *(
            f"{{from: a, to: b, when: {{all: [{{event: Never}}, {it}]}}}}"
            for it in (
                "{sum: properties.x, of: A, gte: 9, within: 999d}",
                "{regularly: A, every: 1d, periods: 30}",
                "{distinct: properties.x, of: A, gte: 9}",
                "{score: {A: 1}, linear: 99d, gte: 9}",
            )
        ),
        stages="ab",
    )
    touches = [having("A", at / 200, x=at) for at in range(5_000)]

    state = fold(definition, touches, until=0).state

    assert state is not None
    assert max(len(it.times) for it in state.facts) <= 3 * 3 * 31
    assert max(len(tally.times) for it in state.facts for tally in it.tallies) == 1_000
    assert len(pack(state)) < 50_000
    assert lapse(definition, state, day(9_999)).state == state
