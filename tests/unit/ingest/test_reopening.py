"""Replay of requests that could not be opened: their events land, or the reason is said."""

import json
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_common.contracts.touchpoint import HISTORICAL, INTERNAL, MARKS_HEADER, marks_of
from clm_common.errors import Rejected
from clm_ingest.core.admission import Origin
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.quarantine import letters_of
from clm_ingest.core.replaying import Order, readmit
from clm_ingest.core.request import Request
from clm_ingest.core.unopened import name_in, refusal_of
from clm_ingest.routes import OPENERS

Json = dict[str, Any]  # Any: a JSON document

LIMITS = Limits()
AT = 1_700_000_000_000_000
EVENT = {"type": "track", "event": "Order Completed", "userId": "ada", "messageId": "m-1"}


def kept(
    name: str,
    body: bytes,
    *,
    query: str = "",
    headers: dict[bytes, bytes] | None = None,
    internal: bool = False,
    limits: Limits = LIMITS,
) -> DeadLetter:
    """Give the letter of a request that could not be opened."""
    method, _, path = name.partition(" ")
    request = Request(method, path, query.encode(), "https", headers or {})
    why = Rejected(400, "body.malformed", "the body is not JSON: as a release before saw it")
    refusal = refusal_of(why, name, request, body, limits)
    (message,) = letters_of(
        [refusal], Origin("acme", "shop", AT, internal=internal), Parcel(None, [body], None)
    )
    return msgspec.json.decode(message.value, type=DeadLetter)


def replayed(letter: DeadLetter, mended: object = None, limits: Limits = LIMITS) -> Any:
    body = None if mended is None else json.dumps(mended).encode()
    order = Order("letter-1", letter, "acme", "shop", body)
    return readmit(order, limits, None, None, OPENERS.get(name_in(letter)))


def landed(found: list[Message]) -> list[Json]:
    return [json.loads(it.value or b"") for it in found if it.topic == TOUCHPOINTS.name]


def letters(found: list[Message]) -> list[DeadLetter]:
    raw = [it.value or b"" for it in found if it.topic == TOUCHPOINTS_DLQ.name]
    return [msgspec.json.decode(it, type=DeadLetter) for it in raw]


def test_all_events_of_a_batch_that_became_readable_land_with_their_own_ids() -> None:
    events = [{**EVENT, "messageId": f"m-{n}"} for n in range(5)]

    found = replayed(kept("POST /v1/batch", json.dumps({"batch": events}).encode()))

    assert landed(found) == events
    assert letters(found) == []
    times = {dict(it.all_headers())["ce_time"] for it in found}
    assert times == {b"2023-11-14T22:13:20.000000Z"}


def test_events_without_an_id_have_the_same_ones_at_every_replay() -> None:
    event = {"type": "track", "event": "X", "userId": "ada"}
    letter = kept("POST /v1/batch", json.dumps({"batch": [event, EVENT, event]}).encode())

    once, again = replayed(letter), replayed(letter)

    assert [it["messageId"] for it in landed(once)] == ["letter-1", "m-1", "letter-1-1"]
    assert landed(once) == landed(again)


def test_a_single_call_has_the_type_of_its_route() -> None:
    letter = kept("POST /v1/page", json.dumps({"userId": "ada"}).encode())

    (event,) = landed(replayed(letter))

    assert event == {"userId": "ada", "type": "page", "messageId": "letter-1"}


def test_a_request_that_is_still_unreadable_stays_with_its_reason() -> None:
    still = replayed(kept("POST /v1/batch", b'{"batch":[{}'))
    other = replayed(kept("POST /v1/batch", b"[]"))
    empty = replayed(kept("POST /v1/batch", b'{"batch":[]}'))
    nobody = replayed(kept("POST /v1/batch", b'{"batch":[{"type":"track","event":"X"}]}'))

    assert isinstance(still, Fault)
    assert still.code == "body.malformed"
    assert [it.code for it in (other, empty, nobody)] == [
        "body.invalid",
        "body.empty",
        "touchpoint.identity_missing",
    ]


def test_a_bad_event_of_a_batch_gets_a_letter_of_its_own_beside_those_that_land() -> None:
    bad = {"type": "track", "event": "X", "messageId": "m-bad"}
    batch = json.dumps({"batch": [EVENT, bad]}).encode()

    found = replayed(kept("POST /v1/batch", batch, internal=True))

    assert landed(found) == [EVENT]
    (letter,) = letters(found)
    assert (letter.reason, letter.index) == ("touchpoint.identity_missing", 1)
    assert (letter.original, letter.marks) == (json.dumps(bad).encode(), (INTERNAL,))
    assert (letter.workspace, letter.source) == ("acme", "shop")


def test_a_mended_body_is_opened_in_place_of_its_own() -> None:
    batch = replayed(kept("POST /v1/batch", b'{"batch":['), {"batch": [EVENT, EVENT]})
    single = replayed(kept("POST /v1/track", b"{"), {"event": "X", "userId": "ada"})
    pixel = replayed(kept("GET /v1/pixel/track", b"", query="data=%25"), EVENT | {"event": "a&b"})

    assert landed(batch) == [EVENT, EVENT]
    assert landed(single)[0]["type"] == "track"
    assert landed(pixel) == [EVENT | {"event": "a&b"}]


def test_the_route_and_the_network_still_mark_what_is_replayed() -> None:
    letter = kept("POST /v1/import", json.dumps({"batch": [EVENT]}).encode(), internal=True)

    (message,) = replayed(letter)

    assert marks_of(dict(message.all_headers()).get(MARKS_HEADER)) == (INTERNAL, HISTORICAL)


def test_headers_say_how_other_forms_are_read() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "called", "subject": "ada"}
    batched = {b"content-type": b"application/cloudevents-batch+json"}
    binary = {b"ce-id": b"1", b"ce-source": b"/crm", b"ce-type": b"called", b"ce-subject": b"ada"}
    device = {b"anonymousid": b"YS0x", b"sentat": b"2023-11-14T20:00:00Z"}

    batch = replayed(kept("POST /v1/events", json.dumps([event]).encode(), headers=batched))
    single = replayed(kept("POST /v1/events", b"{}", headers={**binary, b"ce-specversion": b"1.0"}))
    named = replayed(kept("POST /v1/track", b'{"event":"X"}', headers=device))

    assert [it["userId"] for it in landed([*batch, *single])] == ["ada", "ada"]
    assert [it["anonymousId"] for it in landed(named)] == ["a-1"]
    assert dict(named[0].all_headers())["ce_time"] == b"2023-11-14T20:00:00.000000Z"


def test_a_query_says_how_other_forms_are_read() -> None:
    packed = b"eyJldmVudCI6Ik9yZGVyZWQiLCJkaXN0aW5jdF9pZCI6ImFkYSJ9"
    letter = kept("POST /e", packed, query="compression=base64&writeKey=wk_secret")

    assert letter.request == "POST /e?compression=base64"
    assert [it["userId"] for it in landed(replayed(letter))] == ["ada"]


def test_a_pixel_is_read_from_its_query_and_its_key_is_not_kept() -> None:
    letter = kept("GET /v1/pixel/page", b"", query="userId=ada&writeKey=wk_secret&name=a%26b")

    assert parse_qs(letter.original.decode()) == {"userId": ["ada"], "name": ["a&b"]}
    (event,) = landed(replayed(letter))
    assert (event["type"], event["userId"], event["name"]) == ("page", "ada", "a&b")


def test_of_what_only_the_beginning_is_kept_a_whole_body_is_wanted() -> None:
    batch = json.dumps({"batch": [EVENT]}).encode()
    letter = kept("POST /v1/batch", batch + b" " * 1_000, limits=Limits(event_bytes=500))

    refused = replayed(letter)

    assert (refused.code, letter.truncated) == ("letter.truncated", True)
    assert landed(replayed(letter, {"batch": [EVENT]})) == [EVENT]


@given(
    st.sampled_from(sorted(OPENERS)),
    st.binary() | st.from_regex(rb"[\[{](\"batch\":)?[\[{].*"),
    st.text(max_size=20),
    st.dictionaries(st.sampled_from(["content-type", "ce-id", "anonymousid"]), st.text()),
    st.none() | st.lists(st.integers()) | st.dictionaries(st.text(), st.text()),
)
def test_no_letter_is_too_odd_to_be_replayed(
    name: str, original: bytes, query: str, headers: dict[str, str], mended: object
) -> None:
    letter = DeadLetter("body.malformed", "?", "2026-11-22T10:00:00Z", original, headers=headers)
    letter = msgspec.structs.replace(letter, request=f"{name}?{query}")

    found = replayed(letter, mended)

    assert isinstance(found, Fault) or landed(found)


@pytest.mark.parametrize("name", sorted(OPENERS))
def test_whatever_was_kept_of_a_route_a_replay_gives_messages_or_a_reason(name: str) -> None:
    for body in (b"\xff", b"[1", b"null", b'{"batch":[{"a":NaN}]}', b"{}" * 2):
        found = replayed(kept(name, body, query="data=%FF"))
        assert isinstance(found, Fault)
        assert found.code
        assert found.detail
