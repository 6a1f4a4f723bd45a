"""The lifecycle that ships: what happens to the customers of a shop."""

from __future__ import annotations

from functools import cache

from clm_common.instant import SECOND
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Touch, fold, order
from clm_stage_engine.core.lifecycle import Lifecycle
from tests.support.timelines import day, run, touch


@cache
def reach() -> Lifecycle:
    return definitions.load()["reach"]


def order_completed(at: float, revenue: float = 10) -> Touch:
    return touch("Order Completed", at, properties={"revenue": revenue})


def test_the_stages_are_in_the_order_people_see_them() -> None:
    assert [stage.key for stage in reach().stages] == [
        "reach",
        "acquisition",
        "conversion",
        "retention",
        "loyalty",
    ]
    assert reach().names["development"] == "conversion"


def test_the_first_touchpoint_enters_reach() -> None:
    assert run(reach(), touch(None, 1, kind="page")) == [(1, "reach")]


def test_nobody_without_touchpoints_is_anywhere() -> None:
    step = fold(reach(), [], until=day(9))

    assert step.state is None
    assert step.changes == ()


def test_an_identified_visitor_is_acquired_at_once() -> None:
    assert run(reach(), touch(None, 1, kind="identify")) == [(1, "reach"), (1, "acquisition")]


def test_signing_up_acquires_a_visitor() -> None:
    visitor = (touch(None, 1, kind="page"), touch("Signed Up", 2))

    assert run(reach(), *visitor) == [(1, "reach"), (2, "acquisition")]


def test_a_first_order_converts_an_unknown_visitor_past_acquisition() -> None:
    assert run(reach(), order_completed(3)) == [(3, "reach"), (3, "conversion")]


def test_a_second_order_within_180_days_retains() -> None:
    customer = [order_completed(day_) for day_ in (0, 100)]

    assert run(reach(), *customer)[-1] == (100, "retention")


def test_a_third_order_makes_a_spender_loyal() -> None:
    customer = [order_completed(0, 100), order_completed(10, 100), order_completed(20, 300)]

    assert run(reach(), *customer)[-1] == (20, "loyalty")


def test_a_third_order_of_little_money_makes_nobody_loyal() -> None:
    customer = [order_completed(0, 100), order_completed(10, 100), order_completed(20, 299.99)]

    assert run(reach(), *customer)[-1] == (10, "retention")


def test_a_review_makes_a_regular_customer_loyal() -> None:
    customer = [*map(order_completed, (0, 10, 20)), touch("Product Reviewed", 30)]

    assert run(reach(), *customer)[-1] == (30, "loyalty")


def test_a_hundred_and_twenty_silent_days_lapse_a_customer_at_day_120() -> None:
    customer = [order_completed(0), touch(None, 110, kind="page")]

    assert run(reach(), *customer, until=119.99)[-1] == (0, "conversion")
    assert run(reach(), *customer, until=120)[-1] == (120, "acquisition")
    assert run(reach(), *customer, until=500)[-1] == (120, "acquisition")


def test_a_lapse_is_stamped_at_its_day_when_a_later_touchpoint_reveals_it() -> None:
    customer = [order_completed(0), touch(None, 300, kind="page")]

    changes = fold(reach(), order(customer), until=0).changes

    lapse = changes[-1]
    assert (lapse.at, lapse.source, lapse.target) == (day(120), "conversion", "acquisition")
    assert (lapse.move, lapse.kind, lapse.cause) == ("lapsed", "deadline", None)


def test_an_order_a_microsecond_before_the_deadline_prevents_the_lapse() -> None:
    first = order_completed(0)
    second = Touch(day(120) - 1, "m", "track", "Order Completed", b"{}")

    changes = fold(reach(), [first, second], until=day(150)).changes

    assert [change.target for change in changes] == ["reach", "conversion", "retention"]


def test_an_order_at_the_instant_of_the_deadline_comes_after_the_lapse() -> None:
    customer = [order_completed(0), order_completed(120)]

    assert run(reach(), *customer)[2:] == [(120, "acquisition"), (120, "conversion")]


def test_a_lapsed_customer_who_buys_again_returns_to_conversion_and_may_lapse_again() -> None:
    customer = [order_completed(0), order_completed(200)]

    assert run(reach(), *customer, until=400)[2:] == [
        (120, "acquisition"),
        (200, "conversion"),
        (320, "acquisition"),
    ]


def test_a_loyal_customer_lapses_too() -> None:
    customer = [*(order_completed(at, 200) for at in (0, 1, 2))]

    assert run(reach(), *customer, until=122)[-2:] == [(2, "loyalty"), (122, "acquisition")]


def test_a_late_order_keeps_the_customer_from_having_lapsed() -> None:
    lapsed = [order_completed(0), touch(None, 130, kind="page")]
    corrected = [*lapsed, order_completed(119)]

    assert run(reach(), *lapsed)[-1] == (120, "acquisition")
    assert run(reach(), *corrected)[-1] == (119, "retention")


def test_the_cause_of_a_change_is_the_touchpoint_that_brought_it_about() -> None:
    first = touch(None, 1, "page-1", kind="page")
    second = touch("Signed Up", 2, "signup-1")

    changes = fold(reach(), [first, second], until=0).changes

    assert [(it.move, it.cause, it.kind) for it in changes] == [
        ("start", "page-1", "start"),
        ("reach->acquisition", "signup-1", "touchpoint"),
    ]


def test_the_state_tells_stage_entry_frontier_and_next_deadline() -> None:
    customer = [
        touch(None, 1, "p", kind="page"),
        order_completed(2),
        touch(None, 3, "q", kind="page"),
    ]

    state = fold(reach(), customer, until=0).state

    assert state is not None
    assert (state.stage, state.stage_since, state.first_seen) == ("conversion", day(2), day(1))
    assert state.frontier == (day(3), "q")
    assert state.due == day(122)


def test_a_fired_deadline_becomes_the_frontier() -> None:
    state = fold(reach(), [order_completed(0)], until=day(120) + SECOND).state

    assert state is not None
    assert state.frontier == (day(120), "")
    assert state.due is None
