"""The bodies of webhooks: JSON whatever its type says, forms, and nothing that breaks."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.hook_bodies import body_of
from clm_ingest.core.translation import Untranslatable

FORM = "application/x-www-form-urlencoded"

names = st.text(min_size=1, max_size=8).filter(lambda it: it != "payload")


@pytest.mark.parametrize("content_type", ["", "application/json", "text/plain", FORM])
def test_json_is_read_whatever_the_content_type_says(content_type: str) -> None:
    assert body_of(content_type, b' {"a": [1]}') == {"a": [1]}


@given(st.dictionaries(names, st.text(max_size=20), max_size=6))
def test_the_fields_of_a_form_come_out_as_they_were_put_in(fields: dict[str, str]) -> None:
    assert body_of(f"{FORM}; charset=utf-8", urlencode(fields).encode()) == fields


def test_a_field_that_is_repeated_is_a_list() -> None:
    assert body_of(FORM, b"a=1&a=2&a=3&b=") == {"a": ["1", "2", "3"], "b": ""}


@given(st.dictionaries(st.text(max_size=8), st.integers(-9, 9), max_size=4))
def test_a_form_of_one_payload_is_the_json_in_there(document: dict[str, int]) -> None:
    assert body_of(FORM, urlencode({"payload": json.dumps(document)}).encode()) == document


@pytest.mark.parametrize("text", ["no json", "[1]", "", "%00", "%ED%A0%80"])
def test_a_payload_that_is_no_object_stays_text(text: str) -> None:
    raw = b"payload=" + text.encode()

    assert set(body_of(FORM, raw)) == {"payload"}


@given(st.binary(max_size=200), st.sampled_from(["", FORM]))
def test_whatever_is_sent_is_an_object_or_refused(raw: bytes, content_type: str) -> None:
    try:
        assert isinstance(body_of(content_type, raw), dict)
    except Untranslatable as refused:
        assert refused.fault.code in {  # noqa: PT017 - either is right
            "touchpoint.malformed",
            "touchpoint.not_an_object",
            "hook.form_unreadable",
        }


def test_a_form_of_too_many_fields_is_refused() -> None:
    with pytest.raises(Untranslatable, match="no form"):
        body_of(FORM, b"&".join(b"a=1" for _ in range(1_001)))
