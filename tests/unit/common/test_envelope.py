from __future__ import annotations

import pytest

from clm_common.contracts import envelope
from clm_common.contracts.envelope import Envelope
from clm_common.errors import InvalidMessage

COMPLETE = Envelope("m-1", "/workspaces/demo/sources/web", "clm.touchpoint.track.v1").headers()


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_source", "ce_type"])
def test_a_missing_attribute_is_named(name: str) -> None:
    headers = [header for header in COMPLETE if header[0] != name]

    with pytest.raises(InvalidMessage, match=name) as caught:
        envelope.read(headers)

    assert caught.value.slug == "envelope.incomplete"


def test_a_header_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        envelope.read([*COMPLETE, ("ce_subject", b"\xff")])

    assert caught.value.slug == "envelope.encoding"


def test_another_version_of_cloudevents_is_refused() -> None:
    headers = [("ce_specversion", b"0.3"), *COMPLETE[1:]]

    with pytest.raises(InvalidMessage) as caught:
        envelope.read(headers)

    assert caught.value.slug == "envelope.version"


def test_headers_of_others_are_ignored() -> None:
    read = envelope.read([*COMPLETE, ("traceparent", b"\xff\xfe")])

    assert read == Envelope("m-1", "/workspaces/demo/sources/web", "clm.touchpoint.track.v1")
