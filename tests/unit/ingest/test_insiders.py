"""The company's own people: told by their ids and addresses, wherever an SDK puts them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.insiders import Insiders
from clm_ingest.core.policy import Policy
from clm_ingest.core.rules import rules_of


def insiders(**policy: object) -> Insiders:
    rules = rules_of(Policy.model_validate(policy))
    assert rules is not None
    assert rules.insiders is not None
    return rules.insiders


def includes(found: Insiders, event: object, customer: str = "u-1") -> bool:
    return found.include(customer, json.dumps(event).encode())


def with_email(address: str) -> dict[str, object]:
    return {"traits": {"email": address}}


OWN = insiders(internal_email_domains=["example.com"])


@pytest.mark.parametrize(
    "event",
    [
        {"traits": {"email": "ada@example.com"}},
        {"traits": {"email": " Ada.Lovelace+test@EXAMPLE.com "}},
        {"context": {"traits": {"email": "ada@example.com"}}},
        {"properties": {"email": "ada@example.com"}},
        {"traits": {"email": "who@else.net"}, "properties": {"email": "ada@example.com"}},
        {"traits": [], "context": 7, "properties": {"email": "ada@example.com"}},
    ],
)
def test_an_address_is_found_wherever_sdks_put_it(event: dict[str, object]) -> None:
    assert includes(OWN, event)


def test_an_id_that_is_an_address_counts_as_one() -> None:
    assert includes(OWN, {}, "ada@example.com")


@pytest.mark.parametrize(
    "address",
    ["ada@example.com.evil.net", "ada@notexample.com", "ada@sub.example.com", "example.com", "@"],
)
def test_another_domain_is_nobody_of_ours(address: str) -> None:
    assert not includes(OWN, with_email(address), address)


def test_a_star_stands_for_every_domain_below_and_not_for_the_domain_itself() -> None:
    below = insiders(internal_email_domains=["*.Example.com", "@example.org"])

    assert includes(below, with_email("a@eu.example.com"))
    assert includes(below, with_email("a@b.eu.example.com"))
    assert not includes(below, with_email("a@example.com"))
    assert includes(below, with_email("a@example.org"))


def test_ids_are_compared_as_they_are_and_addresses_are_not_looked_for() -> None:
    people = insiders(internal_users=["17", "Tester"])

    assert includes(people, {}, "17")
    assert includes(people, {}, "Tester")
    assert not includes(people, {}, "tester")
    assert not includes(people, with_email("17"), "171")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PERSON = ANYTHING | st.fixed_dictionaries({"email": ANYTHING})


@given(st.text(), PERSON, PERSON | st.fixed_dictionaries({"traits": PERSON}), PERSON)
def test_no_event_breaks_the_look_at_it(
    customer: str, traits: object, context: object, properties: object
) -> None:
    event = {"traits": traits, "context": context, "properties": properties}

    assert includes(OWN, event, customer) in {True, False}


def test_a_policy_that_names_nobody_costs_nothing() -> None:
    rules = rules_of(Policy(honour_dnt=True))

    assert rules is not None
    assert rules.insiders is None
