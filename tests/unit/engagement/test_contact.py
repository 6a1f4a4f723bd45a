from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_engagement.core.contact import FIELDS, address_hash, normal_email, traits_of

_json = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(st.characters()) | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_names = st.sampled_from(["email", "firstName", "name", "timezone", "locale", "traits", "lastName"])


@settings(deadline=None)
@given(_json | st.dictionaries(_names, _json), _json | st.dictionaries(_names, _json))
def test_whatever_is_sent_the_fields_are_one_line_of_storable_text(
    traits: object, context: object
) -> None:
    found = traits_of(traits, context)

    assert set(found) <= set(FIELDS)
    for value in found.values():
        assert value is None or (value.encode() and len(value.splitlines()) == 1)
        assert value is None or ("\0" not in value and len(value) <= 254)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Ann.Lee@EXAMPLE.com", "Ann.Lee@example.com"),
        ("ann@exämple.de", "ann@xn--exmple-cua.de"),
        ("ä@example.de", "ä@example.de"),
        ("ann", None),
        ("ann@", None),
        ("ann@localhost", None),
        ("ann@example.com\r\nBcc: bob@example.com", None),
        ("ann@example.com, bob@example.com", None),
        ("<ann@example.com>", None),
    ],
)
def test_an_address_is_normalised_or_is_none(written: str, normal: str | None) -> None:
    assert normal_email(written) == normal


def test_one_address_has_one_hash_however_it_is_written_and_another_elsewhere() -> None:
    one = address_hash("acme", "Ann@example.com")

    assert one == address_hash("acme", "ann@example.com")
    assert one != address_hash("other", "ann@example.com")
    assert len(one) == 32


def test_traits_win_over_the_traits_of_the_context() -> None:
    context = {
        "traits": {"email": "old@example.com", "lastName": "Lee"},
        "timezone": "Europe/Berlin",
    }

    found = traits_of({"email": " new@example.com "}, context)

    assert found == {"email": "new@example.com", "last_name": "Lee", "time_zone": "Europe/Berlin"}


def test_an_unusable_address_is_as_if_it_had_not_been_said() -> None:
    assert traits_of({"email": "nowhere"}, {"traits": {"email": "ann@example.com"}}) == {
        "email": "ann@example.com"
    }


def test_null_takes_a_field_back() -> None:
    assert traits_of({"email": None}, None) == {"email": None}


def test_a_full_name_is_split_where_there_is_no_first_name() -> None:
    assert traits_of({"name": "Ann van Lee"}, None) == {"first_name": "Ann", "last_name": "van Lee"}
    assert traits_of({"name": "Ann", "firstName": "Bo"}, None) == {"first_name": "Bo"}
    assert traits_of({"name": "Prince"}, None) == {"first_name": "Prince", "last_name": None}
