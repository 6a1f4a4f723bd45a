"""Halves of surrogate pairs are replaced, whole pairs and everything else stay."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.surrogates import paired


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        (rb"\ud83d", rb"\ufffd"),
        (rb"\uDE00", rb"\ufffd"),
        (rb"\uD83D\uDE00", rb"\uD83D\uDE00"),
        (rb"\ud83d\ud83d\ude00\ude00", rb"\ufffd\ud83d\ude00\ufffd"),
        (rb"\ude00\ud83d", rb"\ufffd\ufffd"),
        (rb"\ud83d\u0041", rb"\ufffd\u0041"),
        (rb"\\ud83d", rb"\\ud83d"),
        (rb"\\\ud83d", rb"\\\ufffd"),
        (rb"\ud7ff\ue000", rb"\ud7ff\ue000"),
        (rb"\ud83", rb"\ud83"),
    ],
)
def test_halves_are_replaced_and_nothing_else(text: bytes, mended: bytes) -> None:
    assert paired(text) == mended


@given(st.text() | st.text(st.sampled_from('a\\"\n\ud83d\ude00\U0001f600')))
def test_what_is_left_is_the_text_with_a_mark_for_each_half(text: str) -> None:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    assert json.loads(paired(json.dumps(text).encode())) == whole
