"""How the shop's rows become calls of Segment's SDK."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common import instant
from clm_local.demo.clickstream import EVENTS, calls, revenue, shift_to
from clm_local.demo.dataset import Row
from tests.unit.local.clickstreams import row, rows_of, streams


def test_a_visitor_stays_anonymous_until_the_first_visit_to_the_account() -> None:
    rows = rows_of((0, "home"), (1, "account_page"), (2, "home"))

    made = calls(rows, shift=0)

    assert [(it.kind, it.user_id) for it in made] == [
        ("page", None),
        ("identify", "user_0000"),
        ("page", "user_0000"),
        ("page", "user_0000"),
    ]
    assert {it.anonymous_id for it in made} == {"browser-of-user_0000"}


def test_a_cart_makes_a_visitor_known_too() -> None:
    made = calls(rows_of((0, "cart")), shift=0)

    assert [it.kind for it in made] == ["identify", "track"]


def test_signing_in_carries_the_address_and_the_instant_of_the_event_that_asked_for_it() -> None:
    identify, event = calls(rows_of((3, "account_page")), shift=0)

    assert identify.properties["email"] == "user_0000@example.com"
    assert identify.time == event.time
    assert identify.message_id < event.message_id


def test_who_never_signs_in_stays_anonymous() -> None:
    made = calls(rows_of((0, "home"), (1, "purchase")), shift=0)

    assert {it.user_id for it in made} == {None}


def test_rows_out_of_order_are_sent_in_the_order_of_their_times() -> None:
    rows = rows_of((5, "purchase"), (1, "account_page"), (3, "home"))

    made = calls(rows, shift=0)

    assert [it.time for it in made] == sorted(it.time for it in made)
    assert made[0].kind == "identify"


def test_an_order_has_an_id_and_a_revenue_of_its_row() -> None:
    (order,) = calls([row(123, "purchase")], shift=0)

    assert order.name == "Order Completed"
    assert order.properties["order_id"] == "order-00123"
    assert order.properties["revenue"] == revenue(123) / 100


def test_a_visit_by_an_advertisement_names_its_campaign() -> None:
    (paid,) = calls([row(0, "home", channel="paid_search")], shift=0)
    (direct,) = calls([row(0, "home", channel="direct")], shift=0)

    assert paid.context["campaign"]["medium"] == "cpc"
    assert "campaign" not in direct.context


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_every_word_of_the_file_becomes_a_call(event: str) -> None:
    made = calls([row(7, event)], shift=0)

    assert made[-1].name == EVENTS[event][1]


@given(streams, st.randoms(use_true_random=False))
def test_the_same_rows_in_any_order_give_the_very_same_calls(
    rows: list[Row], random: Random
) -> None:
    shuffled = random.sample(rows, len(rows))

    assert calls(shuffled, shift=0) == calls(rows, shift=0)


@given(streams)
def test_every_call_has_a_message_id_of_its_own(rows: list[Row]) -> None:
    ids = [it.message_id for it in calls(rows, shift=0)]

    assert len(set(ids)) == len(ids)
    assert ids == [it.message_id for it in calls(rows, shift=5 * instant.DAY)]


@given(st.integers(0, 10**16), st.integers(0, 10**16))
def test_the_shift_is_whole_days_and_ends_less_than_a_day_ago(last: int, now: int) -> None:
    shift = shift_to(last, now)

    assert shift % instant.DAY == 0
    assert last + shift <= now < last + shift + instant.DAY
