"""What ingest reads quickly, held against what it reads when it looks closely at every event.

Whole batches are judged by column, events by one decoding, odd ones field by field, and bodies that
are no JSON are taken apart: whichever way an event goes, its verdict is the same.
`CLM_TEST_FUZZ` says how many examples each property tries.
"""

import re
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from clm_common.errors import Rejected
from clm_common.instant import from_rfc3339
from clm_ingest.core import cloudevents, posthog
from clm_ingest.core.admission import Origin, Verdicts, admit
from clm_ingest.core.parcel import Limits, Parcel, unpack_batch, unpack_single
from clm_ingest.core.request import Request
from clm_ingest.core.splitting import split
from clm_ingest.core.translation import settle
from tests.support.fuzzing import examples, splintered, spoiled, written
from tests.support.ingest_oracle import NotJson, events_in, read

LIMITS = Limits(event_bytes=700, events=50)
ORIGIN = Origin("acme", "s-1", from_rfc3339("2026-11-22T10:00:00Z"))
USUAL: dict[str, Any] = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "messageId": "m-1",
    "timestamp": "2026-11-21T19:57:32.512Z",
    "properties": {"revenue": 12.5, "title": "ü😀", "tags": ["a", "b"]},
}
TIMES = ["2026-11-21T19:57:32Z", "2026-11-21T19:57:32.123456+02:00", "2026-11-21T19:57:32"]
KINDS = [
    USUAL,
    *(USUAL | {"timestamp": time} for time in TIMES),
    USUAL | {"type": "identify", "traits": {"email": "a@example.com"}, "context": {"ip": "::1"}},
    USUAL | {"writeKey": None, "messageId": ""},
    USUAL | {"userId": 17, "context": {"userAgent": "Googlebot/2.1"}},
    USUAL | {"userId": None, "anonymousId": "a-1", "sentAt": "2026-11-21T20:00:00Z"},
    {"type": "page", "anonymousId": "a-1", "originalTimestamp": "2026-11-21T19:57:32Z"},
]
BATCHES = [{"batch": [event] * 5} for event in KINDS] + [{"batch": KINDS, "sentAt": TIMES[0]}]
BODIES = st.builds(written, spoiled(BATCHES), ascii_only=st.booleans())


Told = tuple[list[object], list[tuple[object, ...]]]


def judged(parcel: Parcel) -> Told:
    """Give everything that is said of a parcel's events."""
    numbers = count()
    verdicts = admit(parcel, ORIGIN, LIMITS, lambda: f"new-{next(numbers)}")
    return told(settle(parcel, verdicts, LIMITS))


def told(verdicts: Verdicts) -> Told:
    admitted: list[object] = [
        (it.key, it.value, sorted(it.all_headers())) for it in verdicts.admitted
    ]
    refused: list[tuple[object, ...]] = [
        (it.index, it.fault.code, it.fault.message_id, it.original) for it in verdicts.refused
    ]
    return admitted, refused


def closely(parcel: Parcel) -> Parcel:
    """Have every event of a parcel looked at closely."""
    return structs.replace(parcel, glimpses=None)


@settings(max_examples=examples(150))
@given(BODIES)
def test_a_batch_gets_the_same_verdicts_quickly_and_closely(body: bytes) -> None:
    try:
        parcel = unpack_batch(body, LIMITS)
    except Rejected:
        return

    assert judged(parcel) == judged(closely(parcel))


@settings(max_examples=examples(100))
@given(BODIES)
def test_a_batch_gets_the_same_verdicts_at_once_and_event_by_event(body: bytes) -> None:
    try:
        parcel = unpack_batch(body, LIMITS)
    except Rejected:
        return
    if parcel.glimpses is None:
        return
    parts = [
        structs.replace(parcel, events=[event], glimpses=[seen])
        for event, seen in zip(parcel.events, parcel.glimpses, strict=True)
    ]

    at_once, alone = judged(parcel), [judged(part) for part in parts]

    assert alike(at_once[0]) == alike([it for admitted, _ in alone for it in admitted])
    assert len(at_once[1]) == sum(len(refused) for _, refused in alone)


def alike(admitted: list[object]) -> str:
    """Write what was admitted with all the message ids that were made up the same."""
    return re.sub(r"new-\d+", "new", repr(admitted))


@settings(max_examples=examples(100))
@given(st.builds(written, spoiled(KINDS), ascii_only=st.booleans()) | splintered(BODIES))
def test_a_single_call_gets_the_same_verdict_quickly_and_closely(body: bytes) -> None:
    try:
        parcel = unpack_single(body, "page")
    except Rejected:
        return

    assert judged(parcel) == judged(closely(parcel))


@settings(max_examples=examples(100))
@given(BODIES)
def test_a_batch_is_taken_apart_where_json_would(body: bytes) -> None:
    try:
        value = read(body)
    except NotJson:
        return
    if isinstance(value, dict) and isinstance(value.get("batch"), list) and value["batch"]:
        parts = split(body)

        assert parts is not None
        assert parts.events == events_in(body)
        assert read(parts.shell) == value | {"batch": []}


@settings(max_examples=examples(100))
@given(
    events=st.lists(spoiled(KINDS).map(written), min_size=1, max_size=4),
    broken=st.sampled_from([b"NaN", b'{"a":-}', b'{"userId":"\\ud800"}', b'{"a":"\\x"}', b"01"]),
    place=st.integers(0, 4),
)
def test_beside_an_event_that_is_no_json_the_others_get_the_verdicts_they_get_without_it(
    events: list[bytes], broken: bytes, place: int
) -> None:
    place = min(place, len(events))
    whole = b'{"batch":[%b]}' % b",".join(events)
    spoilt = b'{"batch":[%b]}' % b",".join([*events[:place], broken, *events[place:]])

    admitted, refused = judged(unpack_batch(whole, LIMITS))
    beside, others = judged(unpack_batch(spoilt, LIMITS))

    assert beside == admitted
    assert (place, "touchpoint.malformed", None, broken) in others
    assert len(others) == len(refused) + 1


def asked(media: str, **headers: str) -> Request:
    fields = {b"content-type": media.encode()}
    fields |= {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    return Request("POST", "/v1/events", b"", "http", fields)


EVENTS: list[dict[str, Any]] = [
    {"specversion": "1.0", "id": "1", "source": "/crm", "type": "com.crm.called"}
    | {"subject": "u-1", "time": "2026-11-21T19:57:32Z", "data": {"seconds": 90}},
    {"specversion": "1.0", "id": "2", "source": "/crm", "type": "clm.touchpoint.identify.v1"}
    | {"data": {"userId": "u-1", "traits": {"plan": "pro"}, "context": {"ip": "::1"}}},
    {"specversion": "1.0", "id": "3", "source": "/crm", "type": "t", "event": "E", "userid": "u"},
]


@settings(max_examples=examples(100))
@given(st.lists(spoiled(EVENTS), max_size=4))
def test_cloudevents_get_the_same_verdicts_in_a_batch_and_one_by_one(events: list[Any]) -> None:
    batched = f"{cloudevents.BATCHED}+json"
    together = judged(cloudevents.unpack(written(events), asked(batched), LIMITS))
    structured = asked(f"{cloudevents.STRUCTURED}+json")
    alone = [judged(cloudevents.unpack(written(it), structured, LIMITS)) for it in events]

    assert together[0] == [it for admitted, _ in alone for it in admitted]
    assert [each[1:3] for each in together[1]] == [
        each[1:3] for _, refused in alone for each in refused
    ]


CAPTURES: list[dict[str, Any]] = [
    {"event": "Ordered", "distinct_id": "u-1", "uuid": "m-1", "properties": {"revenue": 1}},
    {"event": "$pageview", "distinct_id": "d", "properties": {"$device_id": "d", "token": "wk"}},
    {"event": "$identify", "distinct_id": "u", "$set": {"plan": "pro"}, "offset": 100},
    {"event": "$groupidentify", "distinct_id": "u", "properties": {"$group_type": "c"}},
    {"event": "$create_alias", "distinct_id": "u", "properties": {"alias": "v"}},
]


@settings(max_examples=examples(100))
@given(st.lists(spoiled(CAPTURES).filter(lambda it: "batch" not in it), max_size=4))
def test_captures_get_the_same_verdicts_in_a_batch_and_one_by_one(events: list[Any]) -> None:
    asking = asked("application/json")
    together = judged(posthog.unpack(written({"batch": events}), asking, LIMITS))
    array = judged(posthog.unpack(written(events), asking, LIMITS))
    alone = [judged(posthog.unpack(written(it), asking, LIMITS)) for it in events]

    assert array == together
    assert alike(together[0]) == alike([it for admitted, _ in alone for it in admitted])
    assert [each[1:3] for each in together[1]] == [
        each[1:3] for _, refused in alone for each in refused
    ]
