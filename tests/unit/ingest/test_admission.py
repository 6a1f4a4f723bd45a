"""Admission: a good event keeps its bytes, and has the headers, the key and the time it says."""

import json

import pytest

from clm_common.contracts.touchpoint import TYPES, TouchpointType, customer_id, envelope_of, glance
from clm_common.instant import from_rfc3339
from clm_ingest.core.admission import Origin, Verdicts, admit
from clm_ingest.core.parcel import unpack_batch, unpack_single
from tests.support.admitting import (
    LIMITS,
    ORIGIN,
    RECEIVED,
    T1,
    T2,
    T3,
    Event,
    admitted,
    batch_of,
    event,
    judged,
    single,
    time_of,
)


def test_an_admitted_event_is_its_original_bytes() -> None:
    sent = (
        b'{"type" : "track","event":"X", "userId":"u-1","messageId":"m", "properties":{"n":1.10}}'
    )

    message = admitted(judged(unpack_batch(b'{"batch":[ ' + sent + b"]}", LIMITS)))

    assert message.value == sent
    assert message.topic == "clm.touchpoints"
    assert message.key == b"acme:u-1"


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("timed", [True, False])
def test_the_headers_are_those_of_the_contract(kind: TouchpointType, *, timed: bool) -> None:
    time = "2026-11-21T19:57:32.512000Z" if timed else None
    envelope = envelope_of(
        workspace="acme",
        source="s-1",
        message_id="m-ü",
        kind=kind,
        time=time or RECEIVED,
        received=RECEIVED,
        untimed=not timed,
    )

    message = admitted(batch_of(event(type=kind, messageId="m-ü", timestamp=time)))

    assert sorted(message.all_headers()) == sorted(envelope.headers())


def test_events_keep_their_order() -> None:
    verdicts = batch_of(*(event(messageId=f"m-{n}") for n in range(50)))

    assert [dict(m.all_headers())["ce_id"] for m in verdicts.admitted] == [
        f"m-{n}".encode() for n in range(50)
    ]


def test_an_empty_batch_has_no_events() -> None:
    assert batch_of() == Verdicts([], [], [])


@pytest.mark.parametrize(
    ("ids", "customer"),
    [
        ({"userId": "u", "anonymousId": "a"}, "u"),
        ({"userId": "", "anonymousId": "a"}, "a"),
        ({"userId": None, "anonymousId": "a"}, "a"),
        ({"userId": 42, "anonymousId": "a"}, "42"),
        ({"userId": 0, "anonymousId": "a"}, "0"),
        ({"userId": 42.0}, "42"),
        ({"userId": 2**70}, str(2**70)),
        ({"userId": "ünï☃"}, "ünï☃"),
    ],
)
def test_the_key_is_the_strongest_id_there_is(ids: Event, customer: str) -> None:
    sent = {"type": "page", "messageId": "m", **ids}

    message = admitted(batch_of(sent))
    seen = glance(message.value)

    assert message.key == f"acme:{customer}".encode()
    assert (customer_id(seen.user_id) or customer_id(seen.anonymous_id)) == customer


@pytest.mark.parametrize("sent", [None, "", 0.0])
def test_a_missing_message_id_is_made_and_written_into_the_event(sent: object) -> None:
    fields = event(properties={"a": [1, 2.50, {"b": None}]}) | {"messageId": sent}
    if sent == 0.0:
        fields = event(messageId=None, properties={"a": [1, 2.50, {"b": None}]})

    message = admitted(batch_of(fields))

    assert json.loads(message.value) == fields | {"messageId": "made-1"}
    assert dict(message.all_headers())["ce_id"] == b"made-1"


def test_a_number_as_message_id_becomes_text() -> None:
    message = admitted(batch_of(event(messageId=17)))

    assert glance(message.value).message_id == "17"
    assert dict(message.all_headers())["ce_id"] == b"17"


def test_other_values_keep_their_bytes_when_an_event_is_written_anew() -> None:
    sent = b'{"event":"X","userId":"u","properties":{"n":1.10, "big":1e999,"s":"\\u00e9"}}'

    value = admitted(single(sent)).value

    assert b'{"n":1.10, "big":1e999,"s":"\\u00e9"}' in value


@pytest.mark.parametrize("sent", [{}, {"type": "page"}, {"type": 7}, {"type": "nonsense"}])
def test_the_route_of_a_single_call_says_its_type(sent: Event) -> None:
    body = json.dumps({"userId": "u", "messageId": "m", **sent}).encode()

    message = admitted(single(body, "identify"))

    assert json.loads(message.value) == {"userId": "u", "messageId": "m", "type": "identify"}
    assert dict(message.all_headers())["ce_type"] == b"clm.touchpoint.identify.v1"


def test_a_single_call_of_the_right_type_keeps_its_bytes() -> None:
    sent = json.dumps(event()).encode()

    assert admitted(single(sent)).value == sent


def test_the_write_key_never_reaches_the_topic() -> None:
    parcel = unpack_single(json.dumps(event(writeKey="wk_secret")).encode(), "track")
    in_batch = batch_of(event(writeKey="wk_secret"), writeKey="wk_secret")

    assert parcel.write_key == "wk_secret"
    assert b"wk_secret" not in admitted(judged(parcel)).value
    assert b"wk_secret" not in admitted(in_batch).value


@pytest.mark.parametrize("odd", [{}, {"event": 5}])
def test_the_write_key_of_a_single_call_is_found_even_in_an_odd_event(odd: Event) -> None:
    body = json.dumps(event(writeKey="wk_1") | odd).encode()

    assert unpack_single(body, "track").write_key == "wk_1"


@pytest.mark.parametrize(
    ("times", "batch", "expected"),
    [
        ({"timestamp": T1, "originalTimestamp": T2, "sentAt": T3}, {}, (T1, False)),
        ({"timestamp": None, "originalTimestamp": T2, "sentAt": T3}, {}, (T2, False)),
        ({"timestamp": "soon", "originalTimestamp": [], "sentAt": T3}, {}, (T3, False)),
        ({"timestamp": None, "sentAt": None}, {"sentAt": T2}, (T2, False)),
        ({"timestamp": None}, {}, (RECEIVED, True)),
        ({"timestamp": {"a": 1}}, {"sentAt": 10**400}, (RECEIVED, True)),
        ({"timestamp": "2026-11-23T10:00:00.000001Z"}, {}, (RECEIVED, True)),
        ({"timestamp": "2099-01-01T00:00:00Z", "sentAt": T1}, {}, (T1, False)),
        ({"timestamp": "0001-01-01T00:00:00Z"}, {}, (RECEIVED, True)),
        ({"timestamp": 1795219200}, {}, (T1, False)),
        ({"timestamp": 1795219200000}, {}, (T1, False)),
        ({"timestamp": 10**400}, {}, (RECEIVED, True)),
        ({"timestamp": "20261121"}, {}, (T1, False)),
    ],
)
def test_the_time_is_the_first_usable_one(
    times: Event, batch: Event, expected: tuple[str, bool]
) -> None:
    assert time_of(admitted(batch_of(event(**times), **batch))) == expected


def test_the_time_does_not_depend_on_when_it_was_received() -> None:
    parcel = unpack_batch(json.dumps({"batch": [event(sentAt=RECEIVED)]}).encode(), LIMITS)
    later = Origin("acme", "s-1", from_rfc3339("2027-11-22T10:00:00Z"))

    first, second = (admit(parcel, origin, LIMITS, str) for origin in (ORIGIN, later))

    assert time_of(admitted(first)) == time_of(admitted(second))
