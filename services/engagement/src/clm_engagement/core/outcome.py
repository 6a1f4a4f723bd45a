"""What became of a message as a touchpoint: `Message Sent`, in the form in which ingest writes.

All of it derives from the delivery, so a touchpoint that is published twice counts once.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Struct

from clm_common.bus.ports import Message as BusMessage
from clm_common.contracts import ids, topics
from clm_common.contracts.touchpoint import Touchpoint, envelope_of, key_of
from clm_common.instant import to_rfc3339

SOURCE: Final = "engagement"
MESSAGE_SENT: Final = "Message Sent"

_encode: Final = msgspec.json.Encoder().encode


class Sent(Struct, frozen=True):
    """A message that was sent.

    Attributes:
        id: the message's id.
        workspace: the workspace's key.
        journey: the journey's key.
        step: the step's key.
        channel: how it was delivered.
        sent_at: when the other side took it, µs.
        user_id: the recipient as the company's systems know them.
        anonymous_id: the recipient's device, where there is no user id.
    """

    id: UUID
    workspace: str
    journey: str
    step: str
    channel: str
    sent_at: int
    user_id: str | None
    anonymous_id: str | None


def touchpoint_of(sent: Sent) -> BusMessage:
    """Write the `Message Sent` touchpoint of a delivery.

    Raises:
        InvalidMessage: neither id is known.
    """
    time, message_id = to_rfc3339(sent.sent_at), str(uuid5(sent.id, MESSAGE_SENT))
    event = Touchpoint(
        type="track",
        message_id=message_id,
        user_id=sent.user_id,
        anonymous_id=None if sent.user_id else sent.anonymous_id,
        event=MESSAGE_SENT,
        properties={
            "message_id": str(sent.id),
            "journey": sent.journey,
            "step": sent.step,
            "channel": sent.channel,
        },
        timestamp=time,
        channel="server",
    )
    envelope = envelope_of(
        workspace=sent.workspace,
        source=SOURCE,
        message_id=message_id,
        kind="track",
        time=time,
        received=time,
        untimed=False,
    )
    return BusMessage(
        topic=topics.TOUCHPOINTS.name,
        key=key_of(sent.workspace, sent.user_id, sent.anonymous_id),
        value=_encode(event),
        headers=envelope.headers(),
    )


def ids_of(kind: str | None, value: str | None) -> tuple[str | None, str | None]:
    """Give user id and anonymous id, one of them None, of an identity."""
    return (value, None) if kind == ids.USER_ID else (None, value)
