from __future__ import annotations

from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common.contracts.envelope import read
from clm_common.contracts.touchpoint import Touchpoint, source_of
from clm_common.instant import HOUR, SECOND
from clm_engagement.core.outcome import Sent, ids_of, touchpoint_of
from clm_engagement.core.retry import next_try
from tests.support.engagement import NOW, WORKSPACE

SENT = Sent(UUID(int=7), WORKSPACE, "welcome", "welcome", "email", NOW, "ann", None)


def test_a_sent_message_is_a_touchpoint_of_its_recipient() -> None:
    message = touchpoint_of(SENT)

    event = msgspec.json.decode(message.value, type=Touchpoint)
    envelope = read(message.headers)
    assert message.topic == "clm.touchpoints"
    assert message.key == b"acme:ann"
    assert (event.type, event.event, event.user_id) == ("track", "Message Sent", "ann")
    assert event.properties == {
        "message_id": str(SENT.id),
        "journey": "welcome",
        "step": "welcome",
        "channel": "email",
    }
    assert envelope.id == event.message_id
    assert envelope.time == event.timestamp == "2026-11-22T12:00:00.000000Z"
    assert source_of(envelope.source) == (WORKSPACE, "engagement")


def test_a_touchpoint_that_is_published_twice_is_the_same() -> None:
    assert touchpoint_of(SENT) == touchpoint_of(SENT)


def test_a_device_is_named_where_nobody_is_known() -> None:
    user_id, anonymous_id = ids_of("anonymous_id", "phone")

    message = touchpoint_of(
        msgspec.structs.replace(SENT, user_id=user_id, anonymous_id=anonymous_id)
    )

    assert message.key == b"acme:phone"


@settings(deadline=None)
@given(st.integers(0, 100), st.floats(0, 1))
def test_waits_grow_to_an_hour_and_are_never_in_step(attempts: int, roll: float) -> None:
    wait = next_try(attempts, now=NOW, roll=roll) - NOW
    longest = next_try(attempts, now=NOW, roll=1.0) - NOW

    assert longest // 2 <= wait <= longest <= HOUR
    assert next_try(attempts + 1, now=NOW, roll=1.0) - NOW >= min(longest, HOUR)
    assert wait >= 2 * SECOND
