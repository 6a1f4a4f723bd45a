from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.errors import InvalidMessage
from clm_common.instant import HOUR
from clm_engagement.core.facts import Facts, learn, learn_all
from tests.support.engagement import (
    NOW,
    PlainMemory,
    device,
    entered,
    identified,
    known,
    moved,
    taken_back,
    tracked,
)
from tests.support.engagement_rivers import deliveries, rivers

ANN, BOB = known("ann"), known("bob")
PHONE = device("phone")


@settings(deadline=None)
@given(data=st.data())
def test_any_order_of_the_river_gives_the_same_facts_and_the_same_messages(
    data: st.DataObject,
) -> None:
    river = data.draw(rivers())
    straight, shuffled = PlainMemory(), PlainMemory()

    straight.take(river)
    for batch in data.draw(deliveries(river)):
        shuffled.take(batch)

    assert shuffled.facts == straight.facts
    assert shuffled.messages == straight.messages


def test_the_newest_trait_by_event_time_holds_though_it_arrives_first() -> None:
    newer = identified(ANN, user_id="ann", at=NOW, message_id="2", email="new@example.com")
    older = identified(ANN, user_id="ann", at=NOW - HOUR, message_id="1", email="old@example.com")

    facts = learn_all([newer, older])

    assert facts.traits[ANN, "email"].value == "new@example.com"


def test_a_trait_stays_when_a_newer_call_says_nothing_of_it() -> None:
    with_email = identified(ANN, user_id="ann", at=NOW - HOUR, email="ann@example.com")
    without = identified(ANN, user_id="ann", at=NOW, message_id="m-2", plan="gold")

    facts = learn_all([with_email, without])

    assert facts.traits[ANN, "email"].value == "ann@example.com"


def test_traits_belong_to_the_identity_of_the_call_whoever_owns_it_now() -> None:
    facts = learn_all([identified(ANN, anonymous_id="phone", email="ann@example.com")])

    assert (PHONE, "email") in facts.traits
    assert facts.identities[PHONE].owner == ANN


def test_a_moved_identity_belongs_to_whom_it_moved() -> None:
    facts = learn_all([identified(PHONE, anonymous_id="phone"), moved(PHONE, PHONE, ANN)])

    phone = facts.identities[PHONE]
    assert phone.owner == ANN
    assert (phone.kind, phone.value) == (ANONYMOUS_ID, "phone")


def test_an_earlier_link_takes_an_identity_over() -> None:
    first = moved(PHONE, PHONE, ANN, at=NOW)
    earlier = moved(PHONE, ANN, BOB, at=NOW - HOUR)

    assert learn_all([first, earlier]).identities[PHONE].owner == BOB
    assert learn_all([earlier, first]).identities[PHONE].owner == BOB


def test_of_two_links_at_one_instant_the_one_that_takes_over_holds() -> None:
    first, second = moved(PHONE, PHONE, ANN, at=NOW), moved(PHONE, ANN, BOB, at=NOW)

    assert learn_all([first, second]).identities[PHONE].owner == BOB
    assert learn_all([second, first]).identities[PHONE].owner == BOB


@pytest.mark.parametrize("backwards", [False, True])
def test_of_moves_that_were_counted_the_last_one_holds(*, backwards: bool) -> None:
    merged = moved(BOB, BOB, ANN, at=NOW - HOUR, moves=1)
    parted = moved(BOB, ANN, BOB, at=NOW, moves=2)

    facts = learn_all([parted, merged] if backwards else [merged, parted])

    assert facts.identities[BOB].owner == BOB


def test_a_retraction_that_arrives_first_still_holds() -> None:
    change = entered(ANN)

    facts = learn_all([taken_back(change), change])

    assert facts.entries[change.id].retracted


def test_a_stage_change_tells_the_user_id_of_a_known_profile_only() -> None:
    facts = learn_all([entered(ANN, user_id="ann"), entered(PHONE, user_id="ann")])

    assert (facts.identities[ANN].kind, facts.identities[ANN].value) == (USER_ID, "ann")
    assert facts.identities[PHONE].value is None


def test_other_touchpoints_say_nothing() -> None:
    assert learn_all([tracked(ANN, user_id="ann")]) == Facts()


def test_numbers_are_ids_as_text() -> None:
    applied = identified(known("7"), email="ann@example.com")
    numbered = msgspec.structs.replace(
        applied,
        touchpoint=msgspec.Raw(
            b'{"type":"identify","userId":7.0,"traits":{"email":"a@example.com"}}'
        ),
    )

    facts = learn_all([numbered])

    assert (known("7"), "email") in facts.traits


@pytest.mark.parametrize(
    "touchpoint",
    [
        b'{"userId":"ann"}',
        b"[]",
        b'{"type":"identify"}',
        b'{"type":"identify","userId":"a\\u0000"}',
    ],
)
def test_a_broken_fact_is_refused_and_nothing_is_taken_from_it(touchpoint: bytes) -> None:
    broken = msgspec.structs.replace(
        identified(ANN, user_id="ann"), touchpoint=msgspec.Raw(touchpoint)
    )
    facts = Facts()

    with pytest.raises(InvalidMessage):
        learn(facts, broken)

    assert facts == Facts()


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        learn(Facts(), msgspec.structs.replace(entered(ANN), at="yesterday"))
