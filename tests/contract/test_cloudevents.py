"""Our CloudEvents headers held against the CloudEvents SDK."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts import envelope
from clm_common.contracts.envelope import Envelope
from clm_common.contracts.journey import IdentityMoved, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import envelope_of
from clm_stage_engine.core import river
from tests.support.wire import documented

PROFILE = UUID("2d0f0f0a-4c0b-5a53-9f0e-3a0f6a5b9c01")
AT = "2026-11-22T10:00:00.123456Z"

words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)
names = st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True).filter(
    lambda name: (
        name not in {"specversion", "id", "source", "type", "time", "subject", "data"}
        and not name.startswith("data")
    )
)
envelopes = st.builds(
    Envelope,
    id=words,
    source=words,
    type=words,
    time=st.none() | st.just(AT),
    subject=st.none() | words,
    extensions=st.dictionaries(names, words, max_size=3).map(lambda it: tuple(sorted(it.items()))),
)


def sdk_reads(headers: list[tuple[str, bytes]]) -> Any:  # Any: an event of the SDK
    return from_binary(KafkaMessage(dict(headers), None, b'{"a":1}'), JSONFormat())


@given(envelopes)
def test_the_sdk_reads_what_we_write(ours: Envelope) -> None:
    event = sdk_reads(ours.headers())

    assert (event.get_id(), event.get_source(), event.get_type()) == (
        ours.id,
        ours.source,
        ours.type,
    )
    assert event.get_specversion() == "1.0"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_subject() == ours.subject
    for name, value in ours.extensions:
        assert event.get_extension(name) == value
    if ours.time:
        assert event.get_time().isoformat() == "2026-11-22T10:00:00.123456+00:00"


@given(envelopes)
def test_we_read_what_we_write(ours: Envelope) -> None:
    assert envelope.read(ours.headers()) == ours


def test_we_read_what_the_sdk_writes() -> None:
    event = CloudEvent(
        {
            "id": "m-1",
            "source": "/workspaces/demo/sources/website",
            "type": "clm.touchpoint.track.v1",
            "subject": "someone",
            "datacontenttype": "application/json",
            "receivedtime": AT,
        },
        {"a": 1},
    )
    written = to_binary(event, JSONFormat())

    read = envelope.read(list(written.headers.items()))

    assert (read.id, read.source, read.type) == (
        "m-1",
        "/workspaces/demo/sources/website",
        "clm.touchpoint.track.v1",
    )
    assert (read.subject, read.extensions) == ("someone", (("receivedtime", AT),))


@pytest.mark.parametrize("untimed", [False, True])
def test_a_touchpoints_headers_are_as_documented(untimed: bool) -> None:  # noqa: FBT001 - a case
    ours = envelope_of(
        workspace="demo",
        source="website",
        message_id="m-1",
        kind="track",
        time=AT,
        received=AT,
        untimed=untimed,
    )

    documented("clm.touchpoints", "Touchpoint", ours.headers())
    assert sdk_reads(ours.headers()).get_extension("untimed") == ("1" if untimed else None)


def test_the_rivers_headers_are_as_documented() -> None:
    applied = TouchpointApplied("demo", PROFILE, 1, AT, "website", "m-1", river.raw(b"{}"))
    moved = IdentityMoved("demo", PROFILE, 1, PROFILE, PROFILE, PROFILE, AT)
    change = StageChange(PROFILE, "demo", PROFILE, 1, "reach", "d", "reach", "appear", AT)
    (own, counted, gone), (public,) = river.columns([change, applied, moved])

    documented("clm.journey", "TouchpointApplied", counted.all_headers())
    documented("clm.journey", "IdentityMoved", gone.all_headers())
    documented("clm.journey", "StageChange", own.all_headers())
    documented("clm.stage-changes", "StageChange", public.all_headers())
    assert sdk_reads(public.all_headers()).get_subject() == str(PROFILE)
