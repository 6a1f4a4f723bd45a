"""Admission: every event gets its own verdict, and a good one keeps its bytes."""

import contextlib
import itertools
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.bus.ports import Message
from clm_common.contracts.touchpoint import (
    TYPES,
    TouchpointType,
    customer_id,
    envelope_of,
    glance,
    marks_of,
)
from clm_common.errors import Rejected
from clm_common.instant import from_rfc3339
from clm_ingest.core.admission import Origin, Refusal, Verdicts, admit
from clm_ingest.core.glimpse import LONGEST, Examined, examine
from clm_ingest.core.parcel import Limits, Parcel, unpack_batch, unpack_single

RECEIVED = "2026-11-22T10:00:00.000000Z"
ORIGIN = Origin("acme", "s-1", from_rfc3339(RECEIVED))
LIMITS = Limits()

Event = dict[str, Any]  # Any: JSON of the case at hand


def event(**changes: object) -> Event:
    """Build an event that is admitted; None takes a field out."""
    fields: Event = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "userId": "u-1",
        "anonymousId": "a-1",
        "timestamp": "2026-11-21T19:57:32.512Z",
        "properties": {"revenue": 12.50},
    }
    fields |= changes
    return {name: value for name, value in fields.items() if value is not None}


def judged(parcel: Parcel) -> Verdicts:
    numbers = itertools.count(1)
    return admit(parcel, ORIGIN, LIMITS, lambda: f"made-{next(numbers)}")


def batch_of(*events: object, **others: object) -> Verdicts:
    body = json.dumps({"batch": events, **others}).encode()
    return judged(unpack_batch(body, LIMITS))


def single(body: bytes, kind: TouchpointType = "track") -> Verdicts:
    return judged(unpack_single(body, kind))


def admitted(verdicts: Verdicts) -> Message:
    assert verdicts.refused == []
    (message,) = verdicts.admitted
    return message


def refused(verdicts: Verdicts) -> Refusal:
    assert verdicts.admitted == []
    (refusal,) = verdicts.refused
    return refusal


def time_of(message: Message) -> tuple[str, bool]:
    headers = dict(message.all_headers())
    return headers["ce_time"].decode(), headers.get("ce_untimed") == b"1"


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


T1, T2, T3 = (f"2026-11-2{day}T00:00:00.000000Z" for day in (1, 0, 2))


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


LONG = "x" * (LONGEST + 1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (event(userId=None, anonymousId=None), "touchpoint.identity_missing"),
        (event(userId="", anonymousId=""), "touchpoint.identity_missing"),
        (event(type=None), "touchpoint.type_unknown"),
        (event(type="Track"), "touchpoint.type_unknown"),
        (event(type=["track"]), "touchpoint.type_unknown"),
        (event(event=None), "touchpoint.event_missing"),
        (event(event=""), "touchpoint.event_missing"),
        (event(event=5), "touchpoint.event_invalid"),
        (event(event=LONG), "touchpoint.event_invalid"),
        (event(event="a\0b"), "touchpoint.event_invalid"),
        (event(userId=True), "touchpoint.id_invalid"),
        (event(userId={"id": 1}), "touchpoint.id_invalid"),
        (event(anonymousId=["a"]), "touchpoint.id_invalid"),
        (event(messageId={}), "touchpoint.id_invalid"),
        (event(userId=LONG), "touchpoint.id_invalid"),
        (event(anonymousId=LONG), "touchpoint.id_invalid"),
        (event(messageId=LONG), "touchpoint.id_invalid"),
        (event(userId=10**299), "touchpoint.id_invalid"),
        (event(userId="a\0b"), "touchpoint.id_invalid"),
        (event(messageId="a\0b"), "touchpoint.id_invalid"),
        (7, "touchpoint.not_an_object"),
        ([], "touchpoint.not_an_object"),
        (None, "touchpoint.not_an_object"),
        (event(properties={"x": float("nan")}), "touchpoint.malformed"),
        (event(properties={"x": "\ud800"}), "touchpoint.malformed"),
        (event(userId="\udc00"), "touchpoint.malformed"),
    ],
)
def test_a_bad_event_is_refused_alone_and_by_name(sent: object, code: str) -> None:
    verdicts = batch_of(event(messageId="m-0"), sent, event(messageId="m-2"))

    (refusal,) = verdicts.refused
    assert [dict(m.all_headers())["ce_id"] for m in verdicts.admitted] == [b"m-0", b"m-2"]
    assert refusal.fault.code == code
    assert refusal.index == 1
    assert refusal.original == json.dumps(sent).encode()
    assert refusal.fault.detail


def test_a_refused_event_is_named_by_its_message_id() -> None:
    assert refused(batch_of(event(type="?"))).fault.message_id == "m-1"
    assert refused(batch_of(event(userId=None, anonymousId=None))).fault.message_id == "m-1"


def test_a_nul_in_a_property_is_no_reason_to_refuse() -> None:
    admitted(batch_of(event(properties={"note": "a\0b"})))


def test_bytes_that_are_not_utf_8_spoil_their_event_only() -> None:
    good, bad = json.dumps(event()).encode(), b'{"type":"page","userId":"u","name":"\xff"}'

    verdicts = judged(unpack_batch(b'{"batch":[' + good + b"," + bad + b"]}", LIMITS))

    assert [m.value for m in verdicts.admitted] == [good]
    assert [(r.fault.code, r.original) for r in verdicts.refused] == [("touchpoint.malformed", bad)]


def test_twenty_thousand_nested_lists_spoil_their_event_only() -> None:
    good = json.dumps(event()).encode()
    bad = b'{"type":"page","userId":"u","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}"

    verdicts = judged(unpack_batch(b'{"batch":[' + bad + b"," + good + b"]}", LIMITS))

    assert [m.value for m in verdicts.admitted] == [good]
    assert [r.original for r in verdicts.refused] == [bad]


def test_an_event_that_is_too_large_is_refused_alone_and_cut() -> None:
    limits = Limits(event_bytes=1_000)
    large = event(properties={"x": "y" * 1_000})
    body = json.dumps({"batch": [large, event()]}).encode()

    verdicts = admit(unpack_batch(body, limits), ORIGIN, limits, str)

    (refusal,) = verdicts.refused
    assert len(verdicts.admitted) == 1
    assert refusal.fault.code == "touchpoint.too_large"
    assert refusal.original == json.dumps(large).encode()[:1_000]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body.malformed"),
        (b"{", 400, "body.malformed"),
        (b"not json", 400, "body.malformed"),
        (b'{"batch":[NaN', 400, "body.malformed"),
        (b'{"batch":[{}]} trailing', 400, "body.malformed"),
        (b'{"sentAt":NaN,"batch":[{}]}', 400, "body.malformed"),
        (b"[" * 100_000, 400, "body.invalid"),
        (b'{"batch":' + b"[" * 100_000, 400, "body.malformed"),
        (b"[]", 400, "body.invalid"),
        (b"7", 400, "body.invalid"),
        (b"{}", 400, "body.invalid"),
        (b'{"batch":{}}', 400, "body.invalid"),
        (b'{"batch":null}', 400, "body.invalid"),
        (b'{"batch":[' + b"1," * 2_500 + b"1]}", 413, "batch.too_long"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body: bytes, status: int, code: str) -> None:
    with pytest.raises(Rejected) as refusal:
        unpack_batch(body, LIMITS)

    assert (refusal.value.status, refusal.value.slug) == (status, code)


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":NaN}', b'{"a":' * 50_000, b'"x"', b"[{}]"])
def test_a_body_that_is_no_single_call_is_refused(body: bytes) -> None:
    with pytest.raises(Rejected) as refusal:
        unpack_single(body, "track")

    assert refusal.value.status == 400


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["", "track", "u", "\0", "\ud800", "2026-11-21", 10**400, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
fields = st.fixed_dictionaries(
    {},
    optional={
        name: json_values | st.just(value)
        for name, value in event(writeKey="wk", sentAt=T1, originalTimestamp=T2).items()
    },
)


@given(st.lists(fields | json_values, max_size=4), st.none() | st.integers() | st.text())
def test_every_event_has_exactly_one_verdict(events: list[object], sent_at: object) -> None:
    verdicts = batch_of(*events, sentAt=sent_at)

    indexes = [refusal.index for refusal in verdicts.refused]
    assert len(verdicts.admitted) + len(indexes) == len(events)
    assert indexes == sorted(set(indexes))
    for message in verdicts.admitted:
        assert glance(message.value).message_id == dict(message.all_headers())["ce_id"].decode()
        assert message.key.startswith(b"acme:")


@given(st.lists(fields, max_size=3))
def test_an_event_gets_the_same_verdict_in_any_company(events: list[Event]) -> None:
    """One odd event sends its batch down the careful way; that must change nothing for others."""
    alone = [batch_of(each) for each in events]
    together = batch_of({"type": 0}, *events)

    assert sum(len(verdicts.admitted) for verdicts in alone) == len(together.admitted)
    assert [r.fault.code for v in alone for r in v.refused] == [
        r.fault.code for r in together.refused[1:]
    ]
    assert [m.key for v in alone for m in v.admitted] == [m.key for m in together.admitted]
    for lonely, other in zip(
        (m for v in alone for m in v.admitted), together.admitted, strict=True
    ):
        assert time_of(lonely) == time_of(other)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise_anything_but_a_refusal(body: bytes) -> None:
    for wrapped in (body, b'{"batch":[' + body + b"]}", b'{"batch":[{"type":' + body):
        with contextlib.suppress(Rejected):
            judged(unpack_batch(wrapped, LIMITS))
        with contextlib.suppress(Rejected):
            single(wrapped)


@given(fields)
def test_the_careful_way_reads_what_the_quick_way_reads(sent: Event) -> None:
    raw = json.dumps(sent).encode()
    try:
        quick = unpack_batch(b'{"batch":[' + raw + b"]}", LIMITS).glimpses
    except Rejected:
        return
    careful = examine(raw, None) if quick else None

    if quick and isinstance(careful, Examined):
        for name in ("user_id", "anonymous_id", "message_id"):
            assert customer_id(getattr(quick[0], name)) == getattr(careful.glimpse, name)
        assert quick[0].event == careful.glimpse.event
        assert quick[0].type == careful.glimpse.type


def test_a_dead_letter_of_the_largest_event_fits_into_kafka() -> None:
    assert len(msgspec.json.encode(b"x" * LIMITS.event_bytes)) < 1_000_000 - 100_000


CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"


def marks(message: Message) -> tuple[str, ...]:
    return marks_of(dict(message.all_headers()).get("ce_marks"))


@pytest.mark.parametrize("odd", [{}, {"userId": 17}, {"timestamp": None}])
@pytest.mark.parametrize(
    ("agent", "expected"), [(CRAWLER, ("bot",)), (BROWSER, ()), (None, ()), (17, ()), ("", ())]
)
def test_what_a_crawler_sends_is_admitted_and_marked(
    agent: object, expected: tuple[str, ...], odd: dict[str, object]
) -> None:
    message = admitted(batch_of(event(context={"userAgent": agent}) | odd))

    assert marks(message) == expected


@pytest.mark.parametrize("context", [None, {}, "text", [1], {"userAgent": {"a": 1}}])
def test_a_context_that_names_no_agent_marks_nothing(context: object) -> None:
    assert marks(admitted(batch_of(event() | {"context": context}))) == ()


@pytest.mark.parametrize("said", [True, "true", 1, False, None])
@pytest.mark.parametrize("by_route", [True, False])
def test_what_is_imported_is_marked_historical_by_its_route_or_its_body(
    said: object, *, by_route: bool
) -> None:
    events = [event(), event(context={"userAgent": CRAWLER})]
    body = json.dumps({"batch": events, "historical": said}).encode()
    parcel = unpack_batch(body, LIMITS, historical=by_route)

    verdicts = admit(parcel, Origin("acme", "s-1", from_rfc3339(RECEIVED)), LIMITS, lambda: "new")

    found = [marks(message) for message in verdicts.admitted]
    imported = by_route or said is True
    assert found == ([("historical",), ("bot", "historical")] if imported else [(), ("bot",)])


def test_the_event_says_more_of_its_sender_than_the_browser_that_sent_it() -> None:
    parcel = unpack_batch(
        json.dumps({"batch": [event(), event(context={"userAgent": BROWSER})]}).encode(), LIMITS
    )
    origin = Origin("acme", "s-1", from_rfc3339(RECEIVED), CRAWLER)

    verdicts = admit(parcel, origin, LIMITS, lambda: "new")

    assert [marks(message) for message in verdicts.admitted] == [("bot",), ()]
