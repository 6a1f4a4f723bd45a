"""Records as the engine takes them in: whatever their time looks like, rows give it back alike."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Struct

from clm_common.bus.ports import Headers, Message
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339, to_rfc3339
from clm_stage_engine.arrivals import arrive
from clm_stage_engine.channel_file import shipped
from tests.support.touchpoints import touchpoint

NOON = from_rfc3339("2026-11-22T12:00:00.123456Z")


class Read(Struct, frozen=True):
    """A record as a reader gives it."""

    value: bytes | None
    headers: Headers
    topic: str = "clm.touchpoints"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    key: bytes | None = None


def at(stamp: str) -> Read:
    """Read a touchpoint whose time is written like this."""
    message: Message = touchpoint(NOON, user="ann", event="Signed Up", message_id="m1")
    headers = dict(message.headers) | {"ce_time": stamp.encode()}
    return Read(message.value, tuple(headers.items()))


@pytest.mark.parametrize(
    "stamp",
    [
        "2026-11-22T12:00:00.123456Z",
        "2026-11-22 12:00:00.123456Z",
        "2026-11-22T12:00:00,123456Z",
        "2026-W47-7T12:00:00.123456Z",
        "2026-11-22T13:00:00.123456+01:00",
    ],
)
def test_an_instant_is_read_and_written_in_one_form(stamp: str) -> None:
    arrival = arrive(at(stamp))

    assert arrival.time == NOON
    assert arrival.stamp == to_rfc3339(NOON)


@pytest.mark.parametrize("stamp", ["", "soon", "2026-11-22T12:00:00.1+0100Z", "2026-13-01T00:00Z"])
def test_what_is_no_instant_is_refused(stamp: str) -> None:
    with pytest.raises(InvalidMessage) as refused:
        arrive(at(stamp))

    assert refused.value.slug == "touchpoint.invalid"


def sent(**fields: object) -> Read:
    """Read a touchpoint with these fields in its body."""
    message = touchpoint(NOON, user="ann", event="Signed Up", message_id="m1")
    body = msgspec.json.decode(message.value) | fields
    return Read(msgspec.json.encode(body), message.headers)


@pytest.mark.parametrize(
    "fields",
    [
        {"context": {"page": {"referrer": "https://www.google.com/"}}},
        {"context": {"page": {"referrer": 7}, "campaign": {"medium": "email"}}},
        {"context": "none", "properties": ["utm_medium", "email"]},
        {"properties": {"utm_medium": "email", "utm_source": None}},
        {"properties": {"utm_medium": "email", "utm_source": 7}},
    ],
)
def test_what_arrives_tells_the_same_origin_as_its_body(fields: dict[str, object]) -> None:
    arrival = arrive(sent(**fields))

    assert arrival.event == "Signed Up"
    assert shipped().origin(arrival.body, arrival.told) == shipped().origin(arrival.body)


@pytest.mark.parametrize("name", ["userId", "anonymousId", "messageId"])
def test_a_nul_character_is_refused_in_an_id_and_taken_anywhere_else(name: str) -> None:
    assert arrive(sent(event="Signed\0Up")).event == "Signed\0Up"

    with pytest.raises(InvalidMessage) as refused:
        arrive(sent(**{name: "a\0b"}))

    assert refused.value.slug == "touchpoint.id_invalid"


@pytest.mark.parametrize("name", ["type", "messageId"])
def test_what_lacks_a_required_field_is_refused(name: str) -> None:
    message = touchpoint(NOON, user="ann", event="Signed Up", message_id="m1")
    body = {key: it for key, it in msgspec.json.decode(message.value).items() if key != name}

    with pytest.raises(InvalidMessage) as refused:
        arrive(Read(msgspec.json.encode(body), message.headers))

    assert refused.value.slug == "touchpoint.invalid"
