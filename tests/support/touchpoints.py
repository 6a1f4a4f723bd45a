"""Builders of touchpoints as ingest publishes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from msgspec.structs import replace

from clm_common.bus.ports import Message
from clm_common.contracts.topics import TOUCHPOINTS, partition_of
from clm_common.contracts.touchpoint import envelope_of, key_of
from clm_common.instant import to_rfc3339


def touchpoint(  # noqa: PLR0913 - one builder for all that a touchpoint may carry
    at: int,
    *,
    user: str | None = None,
    anonymous: str | None = None,
    event: str | None = None,
    kind: str = "track",
    message_id: str | None = None,
    received: int | None = None,
    untimed: bool = False,
    workspace: str = "local",
    source: str = "shop",
    traits: dict[str, object] | None = None,
    marks: Sequence[str] = (),
    **properties: object,
) -> Message:
    """Make a record for `clm.touchpoints`.

    Args:
        at: when it happened, µs.
        user: its userId.
        anonymous: its anonymousId.
        event: the tracked event's name.
        kind: its type.
        message_id: by default made of everything above.
        received: when ingest received it, µs; by default when it happened.
        untimed: it carried no time of its own.
        workspace: the workspace's key.
        source: the source's id.
        traits: what it says about the customer.
        marks: what ingest marked it as.
        properties: its properties.
    """
    body = {
        "type": kind,
        "messageId": message_id or _name(at, user, anonymous, event, kind),
        "userId": user,
        "anonymousId": anonymous,
        "event": event,
        "properties": properties,
    } | ({"traits": traits} if traits else {})
    envelope = envelope_of(
        workspace=workspace,
        source=source,
        message_id=str(body["messageId"]),
        kind=kind,
        time=to_rfc3339(at),
        received=to_rfc3339(at if received is None else received),
        untimed=untimed,
        marks=marks,
    )
    value = json.dumps(body).encode()
    return Message(TOUCHPOINTS.name, key_of(workspace, user, anonymous), value, envelope.headers())


def neighbour(user: str, *, same: bool) -> str:
    """Give a customer of the partition of another one, or of another partition."""
    names = (f"neighbour-{it}" for it in range(1_000))
    return next(it for it in names if (_home(it) == _home(user)) is same)


def _home(user: str) -> int:
    return partition_of(key_of("local", user, None), TOUCHPOINTS.partitions)


def alias(at: int, *, user: str, previous: object, anonymous: str | None = None) -> Message:
    """Make the record of an alias call: `previous` is the id that `user` replaces."""
    event = touchpoint(at, user=user, anonymous=anonymous, kind="alias")
    body = json.loads(event.value or b"") | {"previousId": previous}
    return replace(event, value=json.dumps(body).encode())


def _name(*parts: object) -> str:
    return f"m-{zlib.crc32(repr(parts).encode()):08x}"
