"""What is sealed is read with its key alone, where it belongs, and as it was."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts.sealing import Seal, is_sealed, key_of, name_of
from clm_common.errors import InvalidMessage

NAME: Final = UUID("00112233-4455-6677-8899-aabbccddeeff")
KEY: Final = bytes(range(32))
TOPIC: Final = "clm.journey"
ABOUT: Final = b"3d0b8d0e-6f0a-5c58-9d21-6a1f6d6a2f10"
VALUE: Final = b'{"kind":"touchpoint","workspace":"local","version":1}'

GOLDEN: Final = (
    "0100112233445566778899aabbccddeeff"  # the form and the key's id
    "2a944183a05066143960a4b1"  # the nonce
    "87a041705281e55e3670a7d97600100572bdb1659d8a2e2fb4b13b4234bdb9574d0a81d35050f72a"
    "7bb3408feae6ec121e102ad9926f758b86a86958caccba36d600a420ff"
)

keys = st.binary(min_size=32, max_size=32)
names = st.uuids()
values = st.binary(max_size=400)
topics = st.text("abcdefghijklmnopqrstuvwxyz.-", min_size=1, max_size=30)
abouts = st.binary(max_size=40)


@given(names, keys, values, topics, abouts)
def test_what_was_sealed_is_opened_as_it_was(
    name: UUID, key: bytes, value: bytes, topic: str, about: bytes
) -> None:
    seal = Seal(name, key)

    sealed = seal.seal(value, topic, about)

    assert seal.open(sealed, topic, about) == value
    assert is_sealed(sealed)
    assert key_of(sealed) == name
    assert len(sealed) == len(value) + 45


@given(keys, values, st.data())
def test_whatever_byte_is_changed_it_is_noticed(
    key: bytes, value: bytes, data: st.DataObject
) -> None:
    seal = Seal(NAME, key)
    sealed = bytearray(seal.seal(value, TOPIC, ABOUT))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(InvalidMessage):
        seal.open(bytes(sealed), TOPIC, ABOUT)


@given(values, st.data())
def test_whatever_is_cut_off_it_is_noticed(value: bytes, data: st.DataObject) -> None:
    seal = Seal(NAME, KEY)
    sealed = seal.seal(value, TOPIC, ABOUT)
    cut = sealed[: data.draw(st.integers(0, len(sealed) - 1))]

    with pytest.raises(InvalidMessage):
        seal.open(cut, TOPIC, ABOUT)


@given(values, topics, topics, abouts, abouts)
def test_it_is_bound_to_its_topic_and_its_person(
    value: bytes, topic: str, elsewhere: str, about: bytes, other: bytes
) -> None:
    seal = Seal(NAME, KEY)
    sealed = seal.seal(value, topic, about)

    if (topic, about) != (elsewhere, other):
        with pytest.raises(InvalidMessage, match="not what its key has sealed"):
            seal.open(sealed, elsewhere, other)


@given(keys, keys, values)
def test_another_key_does_not_open_it(key: bytes, other: bytes, value: bytes) -> None:
    sealed = Seal(NAME, key).seal(value, TOPIC, ABOUT)

    if key != other:
        with pytest.raises(InvalidMessage):
            Seal(NAME, other).open(sealed, TOPIC, ABOUT)


@given(st.binary(min_size=12, max_size=400), st.binary(max_size=400))
def test_the_same_fact_is_the_same_bytes_and_another_one_has_another_nonce(
    value: bytes, other: bytes
) -> None:
    seal = Seal(NAME, KEY)

    sealed = seal.seal(value, TOPIC, ABOUT)

    assert seal.seal(value, TOPIC, ABOUT) == sealed
    assert value not in sealed
    if value != other:
        assert name_of(seal.seal(other, TOPIC, ABOUT)) != name_of(sealed)


def test_a_value_that_was_sealed_long_ago_is_still_opened() -> None:
    seal = Seal(NAME, KEY)

    assert seal.seal(VALUE, TOPIC, ABOUT).hex() == GOLDEN
    assert seal.open(bytes.fromhex(GOLDEN), TOPIC, ABOUT) == VALUE


def test_no_plain_value_looks_sealed_and_what_is_too_short_names_no_key() -> None:
    assert not is_sealed(VALUE)
    assert not is_sealed(b"")
    with pytest.raises(InvalidMessage, match="too short"):
        key_of(b"\x01" + bytes(43))


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Seal(NAME, bytes(16))
