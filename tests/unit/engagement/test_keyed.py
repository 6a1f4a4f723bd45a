"""Hashes of addresses as they are kept: nobody without the key can tell whose they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_engagement.core.contact import address_hash
from clm_engagement.core.keyed import Keyed

keys = st.lists(st.binary(min_size=32, max_size=40), max_size=3, unique=True)
hashes = st.binary(min_size=32, max_size=32)


@given(keys, keys, hashes)
def test_what_an_older_key_or_none_has_kept_is_recognised(
    old: list[bytes], new: list[bytes], hashed: bytes
) -> None:
    now = Keyed([*new, *old])

    assert Keyed(old).kept(hashed) in now.forms(hashed)
    assert Keyed().kept(hashed) in now.forms(hashed)
    assert now.kept(hashed) == now.forms(hashed)[0]


@given(st.binary(min_size=32, max_size=40), st.binary(min_size=32, max_size=40))
def test_what_is_kept_cannot_be_told_from_the_address_alone(key: bytes, other: bytes) -> None:
    plain = address_hash("acme", "ann@example.com")

    assert Keyed([key]).kept(plain) != plain
    if key != other:
        assert Keyed([key]).kept(plain) != Keyed([other]).kept(plain)


def test_without_a_key_a_hash_is_kept_as_it_is() -> None:
    hashed = address_hash("acme", "ann@example.com")

    assert Keyed().forms(hashed) == [hashed]
