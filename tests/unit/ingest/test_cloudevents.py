"""CloudEvents over HTTP: modes, attributes, data, and the touchpoint each becomes."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent
from hypothesis import example, given
from hypothesis import strategies as st

from clm_common.errors import Rejected
from clm_ingest.core.cloudevents import unpack
from clm_ingest.core.cloudevents_touchpoint import message_id_of
from clm_ingest.core.parcel import Limits
from clm_ingest.core.request import Request
from clm_ingest.core.translation import Translated

STRUCTURED = "application/cloudevents+json"
BATCHED = "application/cloudevents-batch+json"
EVENT = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "com.crm.call.ended"}

Json = dict[str, Any]  # Any: a JSON document


def opened(body: bytes, headers: Mapping[str, str], limits: Limits | None = None) -> Translated:
    lines = {name.lower().encode(): value.encode() for name, value in headers.items()}
    request = Request("POST", "/v1/events", b"", "http", lines)
    return unpack(body, request, limits or Limits())


def structured(event: object, media: str = STRUCTURED) -> Translated:
    return opened(json.dumps(event).encode(), {"content-type": media})


def touchpoint(parcel: Translated) -> Json:
    assert not parcel.hopeless
    (raw,) = parcel.events
    found: Json = json.loads(bytes(raw))
    return found


def fault(parcel: Translated) -> str:
    assert not parcel.events
    (refusal,) = parcel.hopeless
    return refusal.fault.code


def binary(**more: str) -> dict[str, str]:
    return {f"ce-{name}": value for name, value in EVENT.items()} | more


def test_any_type_becomes_a_track_call_of_that_name() -> None:
    sent = {**EVENT, "subject": "u-1", "time": "2026-11-21T10:00:00Z", "data": {"seconds": 90}}

    assert touchpoint(structured(sent)) == {
        "type": "track",
        "event": "com.crm.call.ended",
        "properties": {"seconds": 90},
        "messageId": message_id_of("/crm", "1"),
        "userId": "u-1",
        "timestamp": "2026-11-21T10:00:00Z",
        "context": {"cloudevent": {n: v for n, v in sent.items() if n != "data"}},
    }


def test_an_extension_may_name_the_event() -> None:
    sent = {**EVENT, "event": "Support Call Ended", "subject": "u-1"}

    assert touchpoint(structured(sent))["event"] == "Support Call Ended"


@pytest.mark.parametrize("kind", ["track", "identify", "page", "screen", "group", "alias"])
def test_our_own_types_carry_the_body_of_that_call(kind: str) -> None:
    data = {"userId": "u-1", "event": "Ordered", "messageId": "other", "context": {"ip": "::1"}}
    found = touchpoint(structured({**EVENT, "type": f"clm.touchpoint.{kind}.v1", "data": data}))

    assert (found["type"], found["userId"], found["event"]) == (kind, "u-1", "Ordered")
    assert found["messageId"] == message_id_of("/crm", "1")
    assert found["context"]["ip"] == "::1"
    assert "properties" not in found


def test_our_own_types_need_an_object() -> None:
    sent = {**EVENT, "type": "clm.touchpoint.track.v1", "data": [1]}

    assert fault(structured(sent)) == "cloudevent.data"


@pytest.mark.parametrize(
    ("more", "user", "anonymous"),
    [
        ({"subject": "s"}, "s", None),
        ({"subject": "s", "data": {"userId": 7}}, 7, None),
        ({"subject": "s", "data": {"userId": 0}}, 0, None),
        ({"subject": "s", "data": {"anonymousId": "a"}}, None, "a"),
        ({"subject": "s", "userid": "u", "data": {"userId": "d"}}, "u", None),
        ({"anonymousid": "a", "data": {"userId": ""}}, None, "a"),
        ({}, None, None),
    ],
)
def test_the_customer_is_the_extension_else_in_the_data_else_the_subject(
    more: Json, user: object, anonymous: object
) -> None:
    found = touchpoint(structured({**EVENT, **more}))

    assert (found.get("userId"), found.get("anonymousId")) == (user, anonymous)


@given(st.text(), st.text(), st.text(), st.text())
@example("a", "b,c", "a,b", "c")
@example('a","b', "c", "a", 'b","c')
def test_the_message_id_is_one_to_one_with_source_and_id(
    source: str, name: str, other_source: str, other_name: str
) -> None:
    same = message_id_of(source, name) == message_id_of(other_source, other_name)

    assert same == ((source, name) == (other_source, other_name))


def test_binary_mode_takes_attributes_from_headers_and_the_body_as_data() -> None:
    headers = binary(**{"ce-subject": "Euro%20%E2%82%AC", "content-type": "application/json"})

    found = touchpoint(opened(b'{"a": 1}', headers))

    assert found["userId"] == "Euro €"
    assert found["properties"] == {"a": 1}
    assert found["context"]["cloudevent"]["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("a%20b", "a b"),
        ("a%2520b", "a%20b"),
        ('"a%20b"', "a b"),
        ('"a\\"b\\\\c"', 'a"b\\c'),
        ("100%", "100%"),
        ("%zz", "%zz"),
        ("%F0%9F%98%80", "😀"),
    ],
)
def test_headers_are_unquoted_and_decoded_once(sent: str, read: str) -> None:
    assert touchpoint(opened(b"", binary(**{"ce-subject": sent})))["userId"] == read


@pytest.mark.parametrize("sent", ["%C0%A0", "%ff", "%ED%A0%80", "a%e2%82"])
def test_a_header_that_is_no_utf8_is_refused(sent: str) -> None:
    with pytest.raises(Rejected) as refused:
        opened(b"", binary(**{"ce-subject": sent}))

    assert (refused.value.status, refused.value.slug) == (400, "cloudevent.encoding")


@pytest.mark.parametrize("name", ["ce-id", "ce-source", "ce-type", "ce-specversion"])
def test_binary_mode_needs_all_four_attributes(name: str) -> None:
    headers = binary()
    del headers[name]

    with pytest.raises(Rejected, match=name) as refused:
        opened(b"{}", headers)

    assert refused.value.slug == "cloudevent.incomplete"


@pytest.mark.parametrize("media", [{}, {"content-type": "text/plain"}])
def test_binary_mode_has_no_header_for_the_content_type(media: dict[str, str]) -> None:
    with pytest.raises(Rejected, match="ce-datacontenttype must not be sent"):
        opened(b"{}", binary(**{"ce-datacontenttype": "application/json"}, **media))


def test_a_content_type_that_an_old_sdk_says_twice_is_read_once() -> None:
    """As cloudevents 1.0 to 1.2 for Python were seen to send it."""
    twice = {"ce-datacontenttype": "application/json", "content-type": "application/json"}

    found = touchpoint(opened(b"[1, 2]", binary(**twice, **{"ce-subject": "u-1"})))

    assert found["properties"] == {"data": [1, 2]}
    assert found["context"]["cloudevent"]["datacontenttype"] == "application/json"


@pytest.mark.parametrize(
    ("media", "body", "properties"),
    [
        ("application/json; charset=utf-8", b"[1]", {"data": [1]}),
        ("application/vnd.shop+json", b'{"a":1}', {"a": 1}),
        ("text/plain", "ü".encode(), {"data": "ü"}),
        ("image/png", b"\x89PNG", {"data": base64.b64encode(b"\x89PNG").decode()}),
        ("application/json", b"", {}),
    ],
)
def test_data_are_kept_as_their_content_type_says(
    media: str, body: bytes, properties: Json
) -> None:
    assert touchpoint(opened(body, binary(**{"content-type": media})))["properties"] == properties


def test_binary_data_that_are_no_json_though_they_say_so_are_refused_and_kept() -> None:
    parcel = opened(b"{", binary(**{"content-type": "application/json"}))

    assert fault(parcel) == "touchpoint.malformed"
    kept = json.loads(parcel.hopeless[0].original)
    assert base64.b64decode(kept["data_base64"]) == b"{"
    assert kept["id"] == "1"


def test_the_content_type_alone_chooses_the_mode() -> None:
    mirrored = opened(
        json.dumps({**EVENT, "id": "body"}).encode(), {**binary(), "content-type": STRUCTURED}
    )
    not_structured = opened(
        json.dumps(EVENT).encode(), {**binary(), "content-type": "application/json"}
    )

    assert touchpoint(mirrored)["messageId"] == message_id_of("/crm", "body")
    assert touchpoint(not_structured)["properties"] == EVENT


@pytest.mark.parametrize("media", [BATCHED, f"{BATCHED}; charset=utf-8", BATCHED.upper()])
def test_a_batch_may_hold_any_number_of_events(media: str) -> None:
    several = structured([EVENT, {**EVENT, "id": "2"}], media)

    assert [json.loads(bytes(raw))["messageId"] for raw in several.events] == [
        message_id_of("/crm", "1"),
        message_id_of("/crm", "2"),
    ]
    assert structured([], media).events == []
    with pytest.raises(Rejected) as refused:
        opened(json.dumps([EVENT] * 3).encode(), {"content-type": media}, Limits(events=2))
    assert refused.value.status == 413


def test_a_bad_event_of_a_batch_does_not_touch_the_others() -> None:
    good, bad = json.dumps(EVENT), json.dumps({**EVENT, "id": ""})
    body = f'[{good}, {bad}, {{"a": NaN}}, 7, {good}]'.encode()

    parcel = opened(body, {"content-type": BATCHED})

    assert parcel.places == [0, 4]
    assert [(each.index, each.fault.code) for each in parcel.hopeless] == [
        (1, "cloudevent.invalid"),
        (2, "touchpoint.malformed"),
        (3, "touchpoint.not_an_object"),
    ]
    assert parcel.hopeless[1].original == b'{"a": NaN}'


@pytest.mark.parametrize("body", [b"{}", b"", b"[", b"[1}", b"null"])
def test_a_batch_is_an_array(body: bytes) -> None:
    with pytest.raises(Rejected) as refused:
        opened(body, {"content-type": BATCHED})

    assert refused.value.status == 400


@pytest.mark.parametrize(
    "media", ["application/cloudevents+xml", "application/cloudevents-batch+protobuf"]
)
def test_other_event_formats_are_a_415(media: str) -> None:
    with pytest.raises(Rejected) as refused:
        structured(EVENT, media)

    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": None}, "cloudevent.incomplete"),
        ({"source": ""}, "cloudevent.invalid"),
        ({"type": 7}, "cloudevent.invalid"),
        ({"specversion": "0.3"}, "cloudevent.specversion"),
        ({"specversion": 1.0}, "cloudevent.invalid"),
        ({"time": "yesterday"}, "cloudevent.invalid"),
        ({"time": "2026-11-21"}, "cloudevent.invalid"),
        ({"subject": 7}, "cloudevent.invalid"),
        ({"My_Name": "x"}, "cloudevent.invalid"),
        ({"trace": {"a": 1}}, "cloudevent.invalid"),
        ({"trace": 1.5}, "cloudevent.invalid"),
        ({"data": 1, "data_base64": "YQ=="}, "cloudevent.invalid"),
        ({"data_base64": "%"}, "cloudevent.invalid"),
        ({"data_base64": 7}, "cloudevent.invalid"),
    ],
)
def test_what_is_no_cloudevent_is_refused(change: Json, code: str) -> None:
    assert fault(structured({**EVENT, **change})) == code


def test_extensions_and_null_attributes_are_fine() -> None:
    sent = {**EVENT, "traceparent": "00-1", "count": 3, "flag": True, "subject": None}

    found = touchpoint(structured(sent))["context"]["cloudevent"]

    assert found == {**EVENT, "traceparent": "00-1", "count": 3, "flag": True}


@given(
    st.text(min_size=1, alphabet=st.characters(codec="utf-8", exclude_characters="\0")),
    st.text(min_size=1, alphabet=st.characters(codec="utf-8")),
    st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text() | st.booleans()),
)
def test_what_the_kept_sdk_writes_is_read_as_it_was_meant(
    name: str, subject: str, data: Json
) -> None:
    attributes = {
        "id": name,
        "source": "/crm",
        "type": "com.crm.call.ended",
        "subject": subject,
        "datacontenttype": "application/json",
        "time": datetime(2026, 11, 21, tzinfo=UTC).isoformat(),
    }
    event = CloudEvent(attributes, data)

    headers, body = to_structured(event)
    found = touchpoint(opened(body, headers))

    assert found["messageId"] == message_id_of("/crm", name)
    assert found["properties"] == data
    assert found["context"]["cloudevent"]["subject"] == subject


@given(
    st.text(min_size=1, alphabet=st.characters(min_codepoint=33, max_codepoint=126)).filter(
        lambda text: "%" not in text and '"' not in text
    ),
    st.dictionaries(st.text(), st.integers(-(2**53), 2**53) | st.text()),
)
def test_what_the_kept_sdk_writes_in_binary_mode_is_read_as_it_was_meant(
    name: str, data: Json
) -> None:
    attributes = {
        "id": name,
        "source": "/crm",
        "type": "com.crm.call.ended",
        "datacontenttype": "application/json",
    }

    headers, body = to_binary(CloudEvent(attributes, data))
    found = touchpoint(opened(body or b"", headers))

    assert found["messageId"] == message_id_of("/crm", name)
    assert found["properties"] == data
