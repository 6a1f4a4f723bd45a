"""Admission: what is marked as sent by a crawler, or as imported from the past."""

import json

import pytest

from clm_common.bus.ports import Message
from clm_common.contracts.touchpoint import marks_of
from clm_common.instant import from_rfc3339
from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.parcel import unpack_batch
from tests.support.admitting import LIMITS, RECEIVED, admitted, batch_of, event

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


NOW = {"library": {"name": "analytics-ruby", "version": "2.5.0"}}


@pytest.mark.parametrize(
    ("said", "imported"),
    [
        ({"batch": [event(context=NOW)]}, False),
        ({"batch": [event()], "context": {"library": {"name": "analytics-java"}}}, False),
        ({"batch": [event(context=NOW)], "context": {"library": "analytics-.NET"}}, False),
        ({"batch": [event(context=NOW)], "historical": True}, True),
        ({"batch": [event(context={"library": {"name": "analytics.js"}})]}, True),
        ({"batch": [event()], "context": {"library": {"name": ["analytics-java"]}}}, True),
        ({"batch": [event()], "context": "analytics-java"}, True),
        ({"batch": [event(context={"library": "analytics-java"})]}, True),
        ({"batch": []}, True),
    ],
    ids=str,
)
def test_what_libraries_send_to_the_import_route_as_it_happens_is_no_import(
    said: dict[str, object], *, imported: bool
) -> None:
    parcel = unpack_batch(json.dumps(said).encode(), LIMITS, historical=True)

    assert parcel.historical is imported


def test_beside_an_event_that_is_no_json_a_batch_still_says_which_library_sent_it() -> None:
    library = b'"context":{"library":{"name":"Analytics.NET"}}'
    body = b'{"batch":[{"userId":NaN}],' + library + b"}"

    assert not unpack_batch(body, LIMITS, historical=True).historical
    assert unpack_batch(b'{"batch":[{"userId":NaN}]}', LIMITS, historical=True).historical


def test_the_event_says_more_of_its_sender_than_the_browser_that_sent_it() -> None:
    parcel = unpack_batch(
        json.dumps({"batch": [event(), event(context={"userAgent": BROWSER})]}).encode(), LIMITS
    )
    origin = Origin("acme", "s-1", from_rfc3339(RECEIVED), CRAWLER)

    verdicts = admit(parcel, origin, LIMITS, lambda: "new")

    assert [marks(message) for message in verdicts.admitted] == [("bot",), ()]
