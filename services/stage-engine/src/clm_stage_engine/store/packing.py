"""The engine's rows in the form that `clm_common.store.copying` writes.

Each table has its columns in the order in which its rows are packed: those of fixed width first.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from clm_common.contracts.stage_change import StageChange
from clm_common.instant import from_rfc3339
from clm_common.store.copying import (
    BOOL,
    COUNT,
    INT4,
    INT8,
    NULL,
    data,
    instant,
    layout,
    length,
    since_2000,
    text,
    word,
)
from clm_common.store.copying import UUID as ID
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.core.channel import Origin
from clm_stage_engine.core.fold import pack
from clm_stage_engine.core.identity import IdentityRow
from clm_stage_engine.profiles import Entry

HISTORY: Final = (
    "partition",
    "seq",
    "identity_id",
    "profile_id",
    "version",
    "time",
    "received_at",
    "untimed",
    "source",
    "message_id",
    "body",
    "marks",
    "channel",
    "campaign",
    "content",
)
_history: Final = layout(COUNT, INT4, INT8, ID, ID, INT8, INT8, INT8, BOOL).pack

CHANGES: Final = (
    "partition",
    "seq",
    "id",
    "profile_id",
    "version",
    "at",
    "retracted",
    "historical",
    "lifecycle_version",
    "workspace",
    "lifecycle",
    "definition",
    "source",
    "target",
    "move",
    "cause",
    "user_id",
)
_change: Final = layout(COUNT, INT4, INT8, ID, ID, INT8, INT8, BOOL, BOOL, INT4).pack

EXPLANATIONS: Final = ("profile_id", "change_id", "version", "record")
_explanation: Final = layout(COUNT, ID, ID, INT8).pack

PROFILES: Final = (
    "id",
    "version",
    "home",
    "touchpoints",
    "historical",
    "parted",
    "workspace",
    "user_id",
    "stage",
    "stage_since",
    "first_seen",
    "last_seen",
    "definition",
    "state",
    "wake_at",
)
_profile: Final = layout(COUNT, ID, INT8, INT4, INT8, BOOL, BOOL).pack
_instants: Final = layout(INT8, INT8, INT8).pack

IDENTITIES: Final = (
    "id",
    "profile_id",
    "workspace",
    "kind",
    "value",
    "link_time",
    "link_message",
    "link_user",
)
_identity: Final = layout(COUNT, ID, ID).pack


def history(
    partition: int, seq: int, arrival: Arrival, identity: UUID, entry: Entry, origin: Origin
) -> bytes:
    """Pack a touchpoint that was counted in the version after `entry`."""
    head = _history(
        len(HISTORY),
        4,
        partition,
        8,
        seq,
        16,
        identity.bytes,
        16,
        entry.id.bytes,
        8,
        entry.version + 1,
        8,
        since_2000(arrival.time),
        8,
        since_2000(arrival.received),
        1,
        arrival.untimed,
    )
    sent, body = arrival.sent_id.encode(), arrival.body
    marks = word(",".join(arrival.marks))
    came = word(origin.channel or ""), text(origin.campaign), text(origin.content)
    source = word(arrival.source)
    return b"".join((head, source, length(len(sent)), sent, length(len(body)), body, marks, *came))


def change(partition: int, seq: int, fact: StageChange) -> bytes:
    """Pack a stage change."""
    head = _change(
        len(CHANGES),
        4,
        partition,
        8,
        seq,
        16,
        fact.id.bytes,
        16,
        fact.profile_id.bytes,
        8,
        fact.version,
        8,
        since_2000(from_rfc3339(fact.at)),
        1,
        fact.retracted,
        1,
        fact.historical,
        4,
        fact.lifecycle_version or 0,
    )
    shared = map(
        word, (fact.workspace, fact.lifecycle, fact.definition, fact.source, fact.target, fact.move)
    )
    return b"".join((head, *shared, text(fact.cause), text(fact.user_id)))


def explanation(fact: StageChange, record: bytes) -> bytes:
    """Pack the explanation of a stage change."""
    head = _explanation(
        len(EXPLANATIONS), 16, fact.profile_id.bytes, 16, fact.id.bytes, 8, fact.version
    )
    return head + data(record)


def profile(entry: Entry, wake: int | None) -> bytes:
    """Pack a profile, and the instant (µs) at which its deadlines want to be looked at."""
    state = entry.state
    head = _profile(
        len(PROFILES),
        16,
        entry.id.bytes,
        8,
        entry.version,
        4,
        entry.home,
        8,
        entry.touchpoints,
        1,
        entry.historical,
        1,
        entry.parted,
    )
    if state is None:
        stage, instants, packed = NULL, 3 * NULL, NULL
    else:
        stage, packed = word(state.stage), data(pack(state))
        since, first, last = state.stage_since, state.first_seen, state.frontier[0]
        instants = _instants(8, since_2000(since), 8, since_2000(first), 8, since_2000(last))
    shared, known = word(entry.workspace), word(entry.definition)
    user, due = text(entry.user_id), instant(wake)
    return b"".join((head, shared, user, stage, instants, known, packed, due))


def identity(row: IdentityRow) -> bytes:
    """Pack an identity."""
    link = row.link
    evidence = (
        (NULL, NULL, NULL)
        if link is None
        else (instant(link.time), text(link.message_id), data(link.user.bytes))
    )
    head = _identity(len(IDENTITIES), 16, row.id.bytes, 16, row.profile_id.bytes)
    return b"".join((head, word(row.workspace), word(row.kind), text(row.value), *evidence))
