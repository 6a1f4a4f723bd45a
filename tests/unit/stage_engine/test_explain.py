"""Why somebody is where they are, and what they lack to be elsewhere."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from clm_common.instant import DAY, HOUR, SECOND
from clm_stage_engine import definitions
from clm_stage_engine.core.explain import Guard, explain, outlook, pack, unpack
from clm_stage_engine.core.fold import Touch, fold, order
from clm_stage_engine.core.leaf import passed
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.manual import ByHand
from tests.support.lifecycles import END, drafts, people
from tests.support.timelines import day, decided, touch

REACH = definitions.load()["reach"]


def bought(at: float, revenue: float) -> Touch:
    return touch("Order Completed", at, properties={"revenue": revenue})


def test_a_move_is_explained_by_its_rule_its_cause_and_the_values_of_its_guards() -> None:
    changes = fold(REACH, order([bought(0, 100), bought(10, 100), bought(20, 300)]), 0).changes

    why = explain(REACH, changes[-1])

    assert (why.move, why.kind, why.cause) == (
        "retention->loyalty",
        "touchpoint",
        "Order Completed@20",
    )
    assert (why.lifecycle, why.definition, why.at) == ("reach", REACH.digest, day(20))
    assert why.guards[:2] == (
        Guard("count of Order Completed within 365d gte 3", 3, True),
        Guard("sum of properties.revenue of Order Completed within 365d gte 500", 500.0, True),
    )
    assert [it.holds for it in why.guards] == [True, True, False]


def test_a_lapse_is_explained_by_its_deadline_and_the_silence() -> None:
    change = fold(REACH, [bought(0, 10)], until=day(200)).changes[-1]

    why = explain(REACH, change)

    assert (why.move, why.kind, why.cause, why.at) == ("lapsed", "deadline", None, day(120))
    assert why.guards == (Guard("no Order Completed for 120d", "120d", True),)


def test_the_nearest_alternative_lacks_least() -> None:
    changes = fold(REACH, order([bought(0, 10), bought(10, 10)]), 0).changes

    why = explain(REACH, changes[-1])

    assert why.move == "conversion->retention"
    assert [(it.move, [guard.condition for guard in it.unmet]) for it in why.nearest] == [
        ("lapsed", ["no Order Completed for 120d"])
    ]


def test_the_outlook_says_what_is_lacking_for_the_next_stage() -> None:
    state = fold(REACH, order([bought(0, 10), bought(10, 100)]), 0).state
    assert state is not None

    ahead = outlook(REACH, state, day(40))

    loyal = next(it for it in ahead if it.target == "loyalty")
    assert [(it.condition, it.value) for it in loyal.unmet] == [
        ("count of Order Completed within 365d gte 3", 2),
        ("sum of properties.revenue of Order Completed within 365d gte 500", 110.0),
    ]
    assert "Order Completed" in loyal.at
    lapse = next(it for it in ahead if it.move == "lapsed")
    assert lapse.unmet == (Guard("no Order Completed for 120d", "30d", False),)
    assert (lapse.due, loyal.due) == (day(130), None)


def test_a_move_that_lacks_nothing_waits_for_the_next_touchpoint_that_it_asks_for() -> None:
    orders = [bought(0, 10), bought(130, 10), touch("X", 140)]
    state = fold(REACH, order(orders), day(140)).state
    assert state is not None

    (nearest, *_) = outlook(REACH, state, day(140))

    assert (nearest.target, nearest.unmet) == ("retention", ())
    assert nearest.at == ("Order Completed",)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0s"), (90 * SECOND, "1m 30s"), (120 * DAY, "120d"), (DAY + HOUR + 5, "1d 1h")],
    ids=["nothing", "minutes", "days", "odd"],
)
def test_time_passed_is_told_in_its_two_largest_units(micros: int, text: str) -> None:
    assert passed(micros) == text


def test_a_start_and_a_move_by_hand_have_no_guards() -> None:
    decision = decided(ByHand("reach", "loyalty", "a friend of the house", "ada"), 1)
    changes = fold(REACH, [touch("X", 0), decision], 0).changes

    start, moved = (explain(REACH, it) for it in changes)

    assert (start.kind, start.guards, start.nearest) == ("start", (), ())
    assert (moved.kind, moved.cause, moved.guards) == ("manual", "move@1", ())
    assert (moved.reason, moved.author) == ("a friend of the house", "ada")


@pytest.mark.parametrize("key", sorted(definitions.load()))
def test_every_condition_that_ships_can_be_said_in_words(key: str) -> None:
    lifecycle = definitions.load()[key]
    state = fold(lifecycle, [touch("X", 0)], 0).state
    assert state is not None

    for move in lifecycle.moves:
        ahead = outlook(lifecycle, msgspec.structs.replace(state, stage=move.source), day(1))
        assert all(guard.condition for it in ahead for guard in it.unmet)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(drafts(), people(fewest=4))
def test_explaining_again_gives_the_same_record_and_the_guards_explain_the_move(
    definition: tuple[Draft, Lifecycle], touches: list[Touch]
) -> None:
    _, lifecycle = definition
    changes = fold(lifecycle, order(touches), day(END)).changes
    again = fold(lifecycle, order(reversed(touches)), day(END)).changes

    records = [pack(explain(lifecycle, it)) for it in changes]

    assert records == [pack(explain(lifecycle, it)) for it in again]
    told = [unpack(it) for it in records]
    assert told == [explain(lifecycle, it) for it in changes]
    assert all(any(guard.holds for guard in it.guards) for it in told if it.kind != "start")
