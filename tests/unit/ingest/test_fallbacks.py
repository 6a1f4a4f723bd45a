"""RudderStack's headers, for events that do not say it themselves."""

import base64
import json

import pytest

from clm_ingest.core.fallbacks import with_fallbacks
from clm_ingest.core.parcel import Limits, Parcel, unpack_batch, unpack_single
from clm_ingest.core.request import Request


def filled(parcel: Parcel, **headers: bytes) -> Parcel:
    lines = {name.encode(): value for name, value in headers.items()}
    return with_fallbacks(parcel, Request("POST", "/v1/track", b"", "http", lines))


def ids(parcel: Parcel) -> list[object]:
    return [json.loads(bytes(raw)).get("anonymousId") for raw in parcel.events]


def test_the_header_says_when_it_was_sent_unless_the_body_does() -> None:
    single = unpack_single(b'{"userId":"u"}', "track")
    batch = unpack_batch(b'{"batch":[],"sentAt":"2026-01-01"}', Limits())

    assert filled(single, sentat=b"2026-11-21T10:00:00Z").sent_at == "2026-11-21T10:00:00Z"
    assert filled(batch, sentat=b"2026-11-21T10:00:00Z").sent_at == "2026-01-01"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (base64.b64encode(b"a-1"), "a-1"),
        (b"455fafb1-b29b-4d2c-b21d-e02f8cd2aead", "455fafb1-b29b-4d2c-b21d-e02f8cd2aead"),
        (base64.b64encode(b"\x00"), None),
        (b"", None),
        (base64.b64encode(b"x" * 300), None),
    ],
)
def test_an_event_without_ids_gets_the_devices(header: bytes, expected: str | None) -> None:
    parcel = unpack_single(b'{"event":"Clicked","userId":null}', "track")

    assert ids(filled(parcel, anonymousid=header)) == [expected]


def test_an_event_with_an_id_keeps_its_bytes() -> None:
    events = [b'{"type":"track","userId":"u"}', b'{"type":"track" , "anonymousId":7}', b'{"a":NaN}']
    lone = b'{"type":"track","userId":""}'
    whole = unpack_batch(b'{"batch":[' + b",".join(events[:2]) + b"]}", Limits())
    parcel = unpack_batch(b'{"batch":[' + b",".join([*events, lone]) + b"]}", Limits())

    assert filled(whole, anonymousid=b"a.1") is whole
    found = [bytes(raw) for raw in filled(parcel, anonymousid=b"a.1").events]
    assert found[:3] == events
    assert json.loads(found[3])["anonymousId"] == "a.1"
