"""The engine's rows in the form that `clm_common.store.copying` writes.

Each table has its columns in the order in which its rows are packed: those of fixed width first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from uuid import UUID

from clm_common.contracts.stage_change import StageChange
from clm_common.instant import from_rfc3339
from clm_common.store.copying import (
    BOOL,
    COUNT,
    INT4,
    INT8,
    LENGTH,
    NULL,
    data,
    instant,
    layout,
    length,
    since_2000,
    text,
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
    "message_id",
    "body",
    "source",
    "marks",
    "channel",
    "campaign",
    "content",
)
_history: Final = layout(COUNT, INT4, INT8, ID, ID, INT8, INT8, INT8, BOOL, LENGTH).pack
_before_seq: Final = layout(COUNT, INT4).size
_with_seq: Final = layout(INT8)

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
_explained: Final = layout(COUNT, ID)

PROFILES: Final = (
    "id",
    "version",
    "home",
    "touchpoints",
    "historical",
    "parted",
    "stage_since",
    "first_seen",
    "last_seen",
    "workspace",
    "definition",
    "stage",
    "user_id",
    "state",
    "wake_at",
)
_PROFILE: Final = COUNT, ID, INT8, INT4, INT8, BOOL, BOOL
_profile: Final = layout(*_PROFILE, INT8, INT8, INT8).pack
_emptied: Final = layout(*_PROFILE).pack

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
    sent, body = arrival.sent_id.encode(), arrival.body
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
        len(sent),
    )
    came = _came(arrival.source, arrival.marks, origin)
    return b"".join((head, sent, length(len(body)), body, came))


def renumbered(row: bytes, seq: int) -> bytes:
    """Give a packed touchpoint another seq."""
    return row[:_before_seq] + _with_seq.pack(8, seq) + row[_before_seq + _with_seq.size :]


@lru_cache(maxsize=4096)
def _came(source: str, marks: tuple[str, ...], origin: Origin) -> bytes:
    """Pack how a touchpoint came, which many have in common."""
    names = text(source), text(",".join(marks)), text(origin.channel or "")
    return b"".join((*names, text(origin.campaign), text(origin.content)))


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
    decided = _names(fact.workspace, fact.lifecycle, fact.definition)
    moved = _names(fact.source, fact.target, fact.move)
    return b"".join((head, decided, moved, text(fact.cause), text(fact.user_id)))


def explanation(fact: StageChange, record: bytes) -> bytes:
    """Pack the explanation of a stage change."""
    head = _explanation(
        len(EXPLANATIONS), 16, fact.profile_id.bytes, 16, fact.id.bytes, 8, fact.version
    )
    return head + data(record)


def explained(row: bytes) -> UUID:
    """Tell whose stage change a packed explanation is about."""
    *_, profile_id = _explained.unpack_from(row)
    return UUID(bytes=profile_id)


def profile(entry: Entry, wake: int | None) -> bytes:
    """Pack a profile, and the instant (µs) at which its deadlines want to be looked at."""
    state = entry.state
    count, known = len(PROFILES), (16, entry.id.bytes, 8, entry.version, 4, entry.home)
    counted = 8, entry.touchpoints, 1, entry.historical, 1, entry.parted
    if state is None:
        head, stage, packed = _emptied(count, *known, *counted) + 3 * NULL, None, NULL
    else:
        stage, packed = state.stage, data(pack(state))
        since, first = since_2000(state.stage_since), since_2000(state.first_seen)
        last = since_2000(state.frontier[0])
        head = _profile(count, *known, *counted, 8, since, 8, first, 8, last)
    names = _names(entry.workspace, entry.definition, stage)
    return b"".join((head, names, text(entry.user_id), packed, instant(wake)))


@lru_cache(maxsize=4096)
def _names(*names: str | None) -> bytes:
    """Pack names that many rows have in common."""
    return b"".join(map(text, names))


def identity(row: IdentityRow) -> bytes:
    """Pack an identity."""
    link = row.link
    evidence = (
        (NULL, NULL, NULL)
        if link is None
        else (instant(link.time), text(link.message_id), data(link.user.bytes))
    )
    head = _identity(len(IDENTITIES), 16, row.id.bytes, 16, row.profile_id.bytes)
    return b"".join((head, _names(row.workspace, row.kind), text(row.value), *evidence))
