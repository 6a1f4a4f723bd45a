"""Admission: every event gets exactly one verdict, whatever it is and beside whatever."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts.touchpoint import customer_id, glance
from clm_common.errors import Rejected
from clm_ingest.core.glimpse import Examined, examine
from clm_ingest.core.parcel import unpack_batch
from tests.support.admitting import LIMITS, T1, T2, Event, batch_of, event, judged, single, time_of

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
