"""Write keys in every form the SDKs send them."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.credentials import unmasked, write_key_of

KEY = "wk_Zq3-v_8aPf0Jm1cT7yXeRs2LdKbNhGuW"


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    "authorization",
    [
        basic(f"{KEY}:"),
        basic(KEY),
        basic(f"{KEY}:").rstrip(b"="),
        basic(f"{KEY}:").replace(b"Basic", b"basic"),
        f"Basic {KEY}".encode(),
        f"Basic {KEY}:".encode(),
        f"Bearer {KEY}".encode(),
        KEY.encode(),
    ],
)
def test_the_authorization_header_holds_the_key_in_many_forms(authorization: bytes) -> None:
    assert write_key_of(authorization, b"", b"") == KEY


def test_a_header_of_its_own_and_the_query_hold_it_too() -> None:
    assert write_key_of(b"", KEY.encode(), b"") == KEY
    assert write_key_of(b"", f"{KEY}:secret".encode(), b"") == KEY
    assert write_key_of(b"", b"", f"a=b&writeKey={KEY}".encode()) == KEY


def test_the_authorization_header_comes_first_and_the_query_last() -> None:
    assert write_key_of(basic("wk_1:"), b"wk_2", b"writeKey=wk_3") == "wk_1"
    assert write_key_of(b"", b"wk_2", b"writeKey=wk_3") == "wk_2"


def test_an_oauth_token_is_no_write_key() -> None:
    assert write_key_of(b"Bearer eyJhbGciOi.x.y", b"", b"") is None


def test_a_masked_key_is_none() -> None:
    assert unmasked("***") is None
    assert unmasked("") is None
    assert unmasked(None) is None
    assert write_key_of(b"", b"***", b"") is None
    assert unmasked(KEY) == KEY


@given(st.binary(max_size=600), st.binary(max_size=600), st.binary(max_size=300))
def test_whatever_stands_there_is_a_key_or_none(a: bytes, b: bytes, c: bytes) -> None:
    for key in (write_key_of(a, b, c), write_key_of(b"Basic " + a, b, b"writeKey=" + c)):
        assert key is None or 0 < len(key) <= 512
