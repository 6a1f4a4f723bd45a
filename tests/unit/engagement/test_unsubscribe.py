from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from clm_engagement.core.unsubscribe import sign, verify

OLD, NEW = b"o" * 32, b"n" * 32


@settings(deadline=None)
@given(st.uuids())
def test_a_token_names_its_message_and_nothing_else(message: UUID) -> None:
    token = sign(message, NEW)

    assert verify(token, [NEW]) == message
    assert token.replace("-", "").replace("_", "").isalnum()


def test_a_token_of_an_old_key_is_still_good() -> None:
    message = uuid4()

    assert verify(sign(message, OLD), [NEW, OLD]) == message


def test_a_token_of_a_key_that_was_dropped_is_none() -> None:
    assert verify(sign(uuid4(), OLD), [NEW]) is None


@settings(deadline=None)
@given(st.text())
def test_whatever_else_is_no_token(text: str) -> None:
    assert verify(text, [NEW]) is None


def test_no_part_of_a_token_can_be_changed() -> None:
    token = sign(uuid4(), NEW)

    for place, letter in enumerate(token):
        other = "A" if letter != "A" else "Q"
        assert verify(token[:place] + other + token[place + 1 :], [NEW]) is None
