"""Admission: a bad event is refused alone and by name, a body that is none as a whole."""

import json

import msgspec
import pytest

from clm_common.errors import Rejected
from clm_ingest.core.admission import admit
from clm_ingest.core.glimpse import LONGEST
from clm_ingest.core.parcel import Limits, unpack_batch, unpack_single
from tests.support.admitting import LIMITS, ORIGIN, admitted, batch_of, event, judged, refused

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
        (event(userId="\udc00"), "touchpoint.malformed"),
        (event(messageId="m\ud800", properties={"x": 1}), "touchpoint.malformed"),
        (event(anonymousId="\ud83d", properties={"x": float("nan")}), "touchpoint.malformed"),
        (event(type="?", properties={"x": "\ud800"}), "touchpoint.type_unknown"),
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


def test_a_dead_letter_of_the_largest_event_fits_into_kafka() -> None:
    assert len(msgspec.json.encode(b"x" * LIMITS.event_bytes)) < 1_000_000 - 100_000
