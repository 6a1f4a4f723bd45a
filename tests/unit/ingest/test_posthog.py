"""PostHog's captures: where the events stand in a body, and the touchpoint each becomes."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import pytest

from clm_common.errors import Rejected
from clm_ingest.core.parcel import Limits
from clm_ingest.core.posthog import unpack, unpack_v1
from clm_ingest.core.posthog_touchpoint import Sender, touchpoint_of
from clm_ingest.core.request import Request
from clm_ingest.core.translation import Translated, Untranslatable

EVENT = {"event": "Ordered", "distinct_id": "u-1", "uuid": "m-1"}
FORM = "application/x-www-form-urlencoded"

Json = dict[str, Any]  # Any: a JSON document


def opened(
    body: object,
    *,
    query: str = "",
    method: str = "POST",
    headers: Mapping[bytes, bytes] | None = None,
) -> Translated:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(method, "/e", query.encode(), "http", headers or {})
    return unpack(content, request, Limits(events=3))


def ids(parcel: Translated) -> list[str]:
    return [json.loads(bytes(raw))["messageId"] for raw in parcel.events]


def became(event: Json, sender: Sender | None = None) -> Json:
    return touchpoint_of(json.dumps(event).encode(), sender or Sender())


PACKED = base64.b64encode(json.dumps({**EVENT, "api_key": "wk"}).encode()).decode()


@pytest.mark.parametrize(
    ("body", "query", "content_type"),
    [
        ({**EVENT, "api_key": "wk"}, "", "application/json"),
        ({**EVENT, "token": "wk"}, "", ""),
        ({**EVENT, "properties": {"token": "wk"}}, "", "text/plain"),
        ([{**EVENT, "properties": {"token": "wk"}}], "", ""),
        ([7, {**EVENT, "properties": {"token": "wk"}}], "", ""),
        ({"batch": [EVENT], "api_key": "wk", "sent_at": 1}, "", FORM),
        (urlencode({"data": PACKED}).encode(), "compression=base64", FORM),
        (urlencode({"ip": "1", "data": PACKED}).encode(), "", ""),
        (urlencode({"data": json.dumps({**EVENT, "api_key": "wk"})}).encode(), "", FORM),
        (f"data={PACKED}".encode(), "", "text/plain"),
        (PACKED.encode(), "compression=base64", ""),
        (PACKED.rstrip("=").encode(), "compression=base64", ""),
    ],
)
def test_events_and_token_are_found_in_every_body(
    body: object, query: str, content_type: str
) -> None:
    parcel = opened(body, query=query, headers={b"content-type": content_type.encode()})

    assert ids(parcel) == ["m-1"]
    assert parcel.write_key == "wk"
    assert b"wk" not in bytes(parcel.events[0])


def test_events_may_stand_in_the_query() -> None:
    parcel = opened(b"", query=urlencode({"data": PACKED}), method="GET")

    assert ids(parcel) == ["m-1"]


@pytest.mark.parametrize(
    ("said", "imported"), [(True, True), (False, False), ("true", False), (1, False), ({}, False)]
)
def test_only_a_migration_of_history_is_an_import(said: object, *, imported: bool) -> None:
    body = {"batch": [EVENT], "historical_migration": said}

    first = opened(body)
    second = unpack_v1(
        json.dumps(body).encode(), Request("POST", "/i/v1", b"", "http", {}), Limits(events=3)
    )

    assert (first.historical, second.historical) == (imported, imported)


def test_one_bad_event_does_not_touch_the_others() -> None:
    good = json.dumps(EVENT)
    bad_batch = f'{{"api_key":"wk","batch":[{good},{{"a":NaN}},{{"event":""}}]}}'.encode()
    bad_array = f'[{good},{{"a":NaN}},{{"event":"","uuid":"m-3"}}]'.encode()

    for body in (bad_batch, bad_array):
        parcel = opened(body)

        assert parcel.places == [0]
        assert [each.fault.code for each in parcel.hopeless] == [
            "touchpoint.malformed",
            "touchpoint.event_missing",
        ]
        assert not parcel.single


@pytest.mark.parametrize("form", ["%s", "[%s]"])
def test_half_a_surrogate_pair_spoils_its_event_and_not_its_token(form: str) -> None:
    cut = json.dumps({**EVENT, "properties": {"token": "wk", "title": "Hello \ud83d"}})

    parcel = opened((form % cut).encode())

    assert [(each.fault.code, each.original) for each in parcel.hopeless] == [
        ("touchpoint.malformed", cut.encode())
    ]
    assert parcel.write_key == "wk"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[1", 400),
        (b"7", 400),
        (b"data=", 400),
        (b"data=!!", 400),
        ({"batch": {}}, 400),
        ([1] * 4, 413),
        ({"batch": [1] * 4}, 413),
        (b'{"batch":[1,2,3,NaN]}', 413),
    ],
)
def test_what_holds_no_events_is_refused(body: object, status: int) -> None:
    with pytest.raises(Rejected) as refused:
        opened(body)

    assert refused.value.status == status


def test_the_second_protocol_says_the_library_in_a_header_and_needs_a_batch() -> None:
    headers = {
        b"posthog-sdk-info": b"posthog-python/7.91.1",
        b"posthog-request-timestamp": b"2026-11-21T10:00:00+00:00",
    }
    request = Request("POST", "/i/v1/analytics/events", b"", "http", headers)

    parcel = unpack_v1(json.dumps({"batch": [EVENT]}).encode(), request, Limits())

    found = json.loads(bytes(parcel.events[0]))
    assert found["context"]["library"] == {"name": "posthog-python", "version": "7.91.1"}
    assert parcel.sent_at == "2026-11-21T10:00:00+00:00"
    for body in (EVENT, [EVENT]):
        with pytest.raises(Rejected):
            unpack_v1(json.dumps(body).encode(), request, Limits())


def test_an_event_becomes_a_track_call_with_everything_it_says() -> None:
    properties = {
        "revenue": 12.5,
        "$current_url": "https://shop.example.com/p?utm_source=x",
        "utm_source": "x",
        "utm_campaign": "spring",
        "$lib": "web",
        "$lib_version": "1",
        "$raw_user_agent": "Mozilla/5.0",
        "$ip": "203.0.113.7",
        "$set": {"plan": "pro"},
        "$set_once": {"plan": "free", "first": "ad"},
        "token": "secret",
    }

    found = became({**EVENT, "properties": properties, "timestamp": "2026-11-21T10:00:00Z"})

    assert found == {
        "type": "track",
        "event": "Ordered",
        "userId": "u-1",
        "messageId": "m-1",
        "timestamp": "2026-11-21T10:00:00Z",
        "properties": {name: value for name, value in properties.items() if name != "token"},
        "context": {
            "userAgent": "Mozilla/5.0",
            "ip": "203.0.113.7",
            "library": {"name": "web", "version": "1"},
            "page": {"url": "https://shop.example.com/p?utm_source=x"},
            "campaign": {"source": "x", "name": "spring"},
            "traits": {"plan": "pro", "first": "ad"},
        },
    }


@pytest.mark.parametrize(
    ("event", "touchpoint"),
    [
        ({"event": "$pageview", "properties": {"title": "T"}}, {"type": "page", "name": "T"}),
        ({"event": "$pageview", "properties": {"$pathname": "/p"}}, {"type": "page", "name": "/p"}),
        ({"event": "$screen", "properties": {"$screen_name": "Cart"}}, {"name": "Cart"}),
        ({"event": "$autocapture"}, {"type": "track", "event": "$autocapture"}),
        (
            {"event": "$identify", "properties": {"$anon_distinct_id": "a"}, "$set": {"n": 1}},
            {"type": "identify", "userId": "u-1", "anonymousId": "a", "traits": {"n": 1}},
        ),
        ({"event": "$set", "$set": {"n": 1}}, {"type": "identify", "traits": {"n": 1}}),
        ({"event": "$set_once", "$set_once": {"n": 1, "utm": None}}, {"traits": {"n": 1}}),
        ({"event": None, "$set": {"n": 1}}, {"type": "identify", "traits": {"n": 1}}),
        (
            {"event": "$create_alias", "properties": {"distinct_id": "anon", "alias": "u-1"}},
            {"type": "alias", "userId": "u-1", "previousId": "anon"},
        ),
        (
            {"event": "$merge_dangerously", "properties": {"alias": "old"}},
            {"type": "alias", "userId": "u-1", "previousId": "old"},
        ),
        (
            {
                "event": "$groupidentify",
                "properties": {
                    "$group_type": "company",
                    "$group_key": "c1",
                    "$group_set": {"name": "C"},
                },
            },
            {
                "type": "group",
                "groupId": "c1",
                "traits": {"groupType": "company", "name": "C"},
            },
        ),
    ],
)
def test_posthogs_own_events_become_the_call_they_mean(event: Json, touchpoint: Json) -> None:
    found = became({**EVENT, **event})

    assert {name: found.get(name) for name in touchpoint} == touchpoint


@pytest.mark.parametrize(
    ("more", "user", "anonymous"),
    [
        ({}, "u-1", None),
        ({"properties": {"$device_id": "d"}}, "u-1", "d"),
        ({"properties": {"$device_id": "u-1"}}, None, "u-1"),
        ({"properties": {"$is_identified": False}}, None, "u-1"),
        ({"properties": {"$process_person_profile": False}}, None, "u-1"),
        ({"options": {"process_person_profile": False}}, None, "u-1"),
        ({"distinct_id": None, "properties": {"distinct_id": 7}}, 7, None),
        ({"distinct_id": None, "$distinct_id": "x"}, "x", None),
        ({"distinct_id": None}, None, None),
    ],
)
def test_nobody_is_a_user_who_is_not_identified(
    more: Json, user: object, anonymous: object
) -> None:
    found = became({**EVENT, **more})

    assert (found.get("userId"), found.get("anonymousId")) == (user, anonymous)


def test_the_id_that_is_made_up_for_a_group_is_no_user() -> None:
    group = {"event": "$groupidentify", "properties": {"$group_type": "team", "$group_key": "t1"}}

    assert became({**EVENT, **group})["userId"] == "u-1"
    alone = became({**EVENT, **group, "distinct_id": "$team_t1"})
    assert (alone.get("userId"), alone["anonymousId"]) == (None, "$team_t1")


@pytest.mark.parametrize(
    ("offset", "sent_at", "time"),
    [
        (1500, 1795291098000, "2026-11-21T19:58:16.500000Z"),
        (1500, "2026-11-21T19:58:18Z", "2026-11-21T19:58:16.500000Z"),
        (1500, None, None),
        ("soon", 1795291098000, None),
        (True, 1795291098000, None),
        (1e300, 1795291098000, None),
    ],
)
def test_a_browser_says_how_long_before_it_sent_an_event_that_happened(
    offset: object, sent_at: object, time: str | None
) -> None:
    assert became({**EVENT, "offset": offset}, Sender(sent_at)).get("timestamp") == time


def test_the_browsers_clock_stands_in_the_query() -> None:
    parcel = opened([{**EVENT, "offset": 500}], query="ip=1&_=1795291098000&ver=1")

    assert parcel.sent_at == 1795291098000
    assert json.loads(bytes(parcel.events[0]))["timestamp"] == "2026-11-21T19:58:17.500000Z"


@pytest.mark.parametrize("event", [{"properties": 7}, {"event": 7}, {"event": None}])
def test_what_says_nothing_is_refused(event: Json) -> None:
    with pytest.raises(Untranslatable):
        became({**EVENT, **event})
