"""Events of a file to try a lifecycle out on: NDJSON in Segment's form, one event a line.

Needed are `timestamp` and `userId` or `anonymousId`. `type` is by default `track` where there is an
`event`. An event without `messageId` gets one that is derived from its text, so that the order of
the lines does not matter; the same line twice is then two events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.contracts.touchpoint import customer_id
from clm_common.errors import DefinitionError
from clm_common.instant import from_rfc3339
from clm_stage_engine.core.lifecycle import MANUAL
from clm_stage_engine.core.simulating import Event

_WORKSPACE: Final = "simulation"


class _Line(Struct, frozen=True, rename="camel"):
    timestamp: str | None = None
    type: str | None = None
    event: str | None = None
    message_id: str | None = None
    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None


_decode: Final = msgspec.json.Decoder(_Line).decode


def read(lines: Iterable[bytes], file: str, source: str) -> list[Event]:
    """Read events; empty lines are passed over.

    Args:
        lines: of the file.
        file: its name in errors.
        source: the source that the events count as sent by.

    Raises:
        DefinitionError: a line is no event; the message says which and why.
    """
    found: list[Event] = []
    seen: Counter[bytes] = Counter()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text:
            continue
        seen[text] += 1
        try:
            found.append(_event(text, source, seen[text]))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise DefinitionError("event.invalid", f"{file}:{number}: {error}") from error
    return found


def _event(text: bytes, source: str, times: int) -> Event:
    line = _decode(text)
    user, anonymous = customer_id(line.user_id), customer_id(line.anonymous_id)
    if line.timestamp is None:
        raise ValueError("no timestamp; add one, for example 2026-01-31T09:00:00Z")
    if user is None and anonymous is None:
        raise ValueError("whose is it? add a userId or an anonymousId")
    kind = line.type or ("track" if line.event else None)
    if kind is None:
        raise ValueError("neither type nor event; add one")
    if kind == MANUAL and line.event:
        raise ValueError("a move by hand has no event")
    name = line.message_id or f"{sha256(text).hexdigest()[:16]}-{times}"
    return Event(
        from_rfc3339(line.timestamp),
        f"{source}/{name}",
        kind,
        line.event,
        text,
        None if user is None else (_WORKSPACE, USER_ID, user),
        None if anonymous is None else (_WORKSPACE, ANONYMOUS_ID, anonymous),
    )
