"""A touchpoint: one thing a customer did or was shown, in Segment's form.

The value on `clm.touchpoints` is the event as it was sent (the original bytes whenever possible);
`Touchpoint` documents it in full, `Glance` reads only what routing and folding need.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from clm_common.contracts.envelope import Envelope
from clm_common.errors import InvalidMessage

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")
TouchpointType = Literal["track", "identify", "page", "screen", "group", "alias"]

BOT: Final = "bot"
INTERNAL: Final = "internal"
HISTORICAL: Final = "historical"

MARKS: Final = (BOT, INTERNAL, HISTORICAL)
"""What a touchpoint may be marked as: sent by a program that crawls, from the company's own
network, or imported from the past. It counts all the same; a reader may leave it out."""

MARKS_HEADER: Final = "ce_marks"

_SOURCE_PREFIX: Final = "/workspaces/"


class Touchpoint(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One event of the tracking API.

    Attributes:
        type: what kind of call it was.
        message_id: the sender's id of this event; a repeat carries the same one.
        user_id: the customer as the sender's systems know them; a number counts as its text.
        anonymous_id: the device or browser before (and after) the customer is known.
        event: the name of a tracked event, for example "Order Completed".
        name: the name of a page or screen.
        previous_id: the id an alias replaces.
        group_id: the account a group call joins.
        properties: facts about the event.
        traits: facts about the customer or group.
        context: where it happened: page, campaign, library, device.
        integrations: which destinations the sender wishes.
        timestamp: when it happened, by the sender's clock.
        original_timestamp: the same as RudderStack names it.
        sent_at: when it was sent, by the sender's clock.
        channel: "server", "browser" or "mobile".
    """

    type: TouchpointType
    message_id: str
    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None
    event: str | None = None
    name: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    properties: dict[str, Any] | None = None  # Any: the sender's own JSON
    traits: dict[str, Any] | None = None  # Any: the sender's own JSON
    context: dict[str, Any] | None = None  # Any: the sender's own JSON
    integrations: dict[str, Any] | None = None  # Any: the sender's own JSON
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    channel: str | None = None


class Glance(Struct, frozen=True, rename="camel", gc=False):
    """The few fields that routing and folding read; everything else is skipped while decoding.

    Ids may have been sent as numbers; `customer_id` writes them as text.
    """

    type: str
    message_id: str
    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None
    event: str | None = None


glance: Final = msgspec.json.Decoder(Glance).decode


def customer_id(value: str | float | None) -> str | None:
    """Write an id as text: null and empty are no id, a whole float loses its `.0`."""
    if value is None or value == "":
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def key_of(workspace: str, user_id: str | None, anonymous_id: str | None) -> bytes:
    """Give the record key that keeps one customer's touchpoints in order.

    Raises:
        InvalidMessage: there is neither id.
    """
    customer = user_id or anonymous_id
    if not customer:
        raise InvalidMessage(
            "touchpoint.identity_missing", "a touchpoint needs a userId or an anonymousId"
        )
    return f"{workspace}:{customer}".encode()


def source_uri(workspace: str, source: str) -> str:
    """Name a source as CloudEvents do; the opposite of `source_of`."""
    return f"{_SOURCE_PREFIX}{workspace}/sources/{source}"


def source_of(uri: str) -> tuple[str, str]:
    """Read workspace and source out of a `ce_source`.

    Raises:
        InvalidMessage: it is no source of ours.
    """
    match uri.split("/"):
        case ["", "workspaces", workspace, "sources", source]:
            return workspace, source
        case _:
            message = f"ce_source {uri!r} names no source of ours"
            raise InvalidMessage("touchpoint.source", message)


def marks_of(header: bytes | None) -> tuple[str, ...]:
    """Read a touchpoint's marks; unknown ones are passed over, so that new ones may be added."""
    named = (header or b"").split(b",")
    return tuple(mark for mark in MARKS if mark.encode() in named)


def envelope_of(  # noqa: PLR0913 - the attributes of one event
    *,
    workspace: str,
    source: str,
    message_id: str,
    kind: str,
    time: str,
    received: str,
    untimed: bool,
    marks: Sequence[str] = (),
) -> Envelope:
    """Give the attributes of a touchpoint on `clm.touchpoints`.

    Args:
        workspace: the workspace's key.
        source: the source's id.
        message_id: becomes the CloudEvents id.
        kind: the touchpoint's type.
        time: the event's instant as ingest normalised it, RFC 3339.
        received: when ingest received it, RFC 3339.
        untimed: the event carried no usable time of its own, so `time` is `received`.
        marks: those of `MARKS` that hold, in that order.
    """
    extensions = (
        ("receivedtime", received),
        *((("untimed", "1"),) if untimed else ()),
        *((("marks", ",".join(marks)),) if marks else ()),
    )
    return Envelope(
        id=message_id,
        source=source_uri(workspace, source),
        type=f"clm.touchpoint.{kind}.v1",
        time=time,
        extensions=extensions,
    )
