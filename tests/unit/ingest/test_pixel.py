"""Pixels: events in the query of an image's address."""

import base64
import contextlib
import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.errors import Rejected
from clm_ingest.core.pixel import unpack

Json = dict[str, Any]  # Any: a JSON document

FIELDS = st.dictionaries(st.text(min_size=1), st.text() | st.integers(-(2**53), 2**53))


def event_of(query: str) -> Json:
    parcel = unpack(query.encode(), "track")
    (raw,) = parcel.events
    found: Json = json.loads(bytes(raw))
    return found


@given(FIELDS)
def test_data_are_read_in_either_base64_and_as_json(properties: Json) -> None:
    event = {"userId": "u", "properties": properties}
    text = json.dumps(event).encode()
    forms = [
        text,
        base64.b64encode(text),
        base64.b64encode(text).rstrip(b"="),
        base64.urlsafe_b64encode(text),
    ]

    for form in forms:
        assert event_of(f"data={quote(form)}") == {**event, "type": "track"}


def test_base64_may_stand_in_a_query_without_being_escaped() -> None:
    text = json.dumps({"userId": "u", "name": "?>?>~~"}).encode()
    packed = base64.b64encode(text).decode()
    assert "+" in packed or "/" in packed

    assert event_of(f"data={packed}")["userId"] == "u"


def test_fields_lead_inwards_and_what_is_no_field_is_a_property() -> None:
    query = urlencode(
        {
            "userId": "u",
            "event": "Opened",
            "properties.campaign": "spring",
            "context.page.title": "T",
            "traits": '{"a": 1}',
            "traits.b": "2",
            "utm": "x",
        }
    )

    assert event_of(query) == {
        "type": "track",
        "userId": "u",
        "event": "Opened",
        "properties": {"campaign": "spring", "utm": "x"},
        "context": {"page": {"title": "T"}},
        "traits": {"a": 1, "b": "2"},
    }


def test_data_beat_the_fields_beside_them() -> None:
    data = quote(json.dumps({"userId": "inside", "properties": {"a": 1}}))

    found = event_of(f"userId=outside&event=E&properties.a=2&properties.b=3&data={data}")

    assert found["userId"] == "inside"
    assert found["event"] == "E"
    assert found["properties"] == {"a": 1, "b": "3"}


def test_the_key_inside_is_taken_out() -> None:
    parcel = unpack(b"data=" + quote('{"writeKey":"wk","userId":"u"}').encode(), "page")

    assert parcel.write_key == "wk"
    assert b"wk" not in bytes(parcel.events[0])


@pytest.mark.parametrize(
    "query",
    [b"data=%%%", b"data=YWJj", b"data=%5B1%5D", b"traits=x", b"&".join([b"a=b"] * 300)],
)
def test_what_cannot_be_read_is_refused_as_a_whole(query: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        unpack(query, "track")

    assert caught.value.status == 400
    assert caught.value.slug.startswith("touchpoint.")


@given(st.binary(), st.sampled_from([b"", b"data=", b"properties.", b"a.b.c=&data={"]))
def test_no_query_is_too_odd(query: bytes, prefix: bytes) -> None:
    with contextlib.suppress(Rejected):
        parcel = unpack(prefix + query, "track")

        assert len(parcel.events) == 1
