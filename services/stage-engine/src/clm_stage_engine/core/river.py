"""Facts as messages: what is published of a touchpoint, a stage change or a moved identity.

Pure functions of the fact, so that a fact published right after its commit and the same fact
published from the rows after a crash are the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import compress, islice
from typing import Final, assert_never

import msgspec
from msgspec import Raw

from clm_common.bus.columns import Columns
from clm_common.bus.ports import Shared
from clm_common.contracts.envelope import JSON, SPECVERSION, Header
from clm_common.contracts.journey import (
    PUBLIC_ERASED,
    TYPE_OF,
    IdentityMoved,
    JourneyMessage,
    ProfileErased,
    TouchpointApplied,
)
from clm_common.contracts.stage_change import PUBLIC_TYPE, StageChange
from clm_common.contracts.topics import JOURNEY, STAGE_CHANGES

PIECE: Final = 300
"""Facts written at a time: what they are made of is still in the processor's cache."""

_OWN: Final = ("ce_subject", "ce_id", "ce_time")
_PUBLIC: Final[dict[type[JourneyMessage], str]] = {
    StageChange: PUBLIC_TYPE,
    ProfileErased: PUBLIC_ERASED,
}
_encode: Final = msgspec.json.Encoder().encode


def pieces(facts: Iterable[JourneyMessage]) -> Iterator[Columns]:
    """Write facts, some at a time; of each some for the river, then the public ones of them."""
    left = iter(facts)
    while some := [*islice(left, PIECE)]:
        yield from columns(some)


def columns(facts: Sequence[JourneyMessage]) -> Iterator[Columns]:
    """Write facts for the river, then those that are public; a topic without any is left out."""
    river = Columns(JOURNEY.name, _OWN)
    river.keys = [str(it.profile_id).encode() for it in facts]
    river.values = [*map(_encode, facts)]
    river.shared = [_shared(it.workspace, TYPE_OF[type(it)]) for it in facts]
    river.headers = river.keys, [*map(_id, facts)], [*map(_time, facts)]
    if facts:
        yield river
    if any(public := [type(it) in _PUBLIC for it in facts]):
        yield _public(facts, river, public)


def _public(facts: Sequence[JourneyMessage], river: Columns, public: Sequence[bool]) -> Columns:
    found = Columns(STAGE_CHANGES.name, _OWN)
    found.keys, found.values = [*compress(river.keys, public)], [*compress(river.values, public)]
    found.shared = [_shared(it.workspace, _PUBLIC[type(it)]) for it in compress(facts, public)]
    found.headers = tuple([*compress(column, public)] for column in river.headers)
    return found


def _id(fact: JourneyMessage) -> bytes:
    match fact:
        case TouchpointApplied():
            name = f"{fact.source}/{fact.message_id}"
        case StageChange():
            name = f"{fact.id}:{fact.version}"
        case IdentityMoved():
            name = f"{fact.identity_id}:{fact.profile_id}:{fact.version}"
        case ProfileErased():
            name = f"{fact.erasure}:{fact.part}"
        case _:
            assert_never(fact)
    return name.encode()


def _time(fact: JourneyMessage) -> bytes:
    return (fact.at if isinstance(fact, StageChange) else fact.time).encode()


def raw(body: bytes) -> Raw:
    """Hold an event's original JSON for a message, unparsed."""
    return Raw(body)


@lru_cache(maxsize=1024)
def source_of(workspace: str) -> Header:
    """Give the header that says of which workspace's river a message is."""
    return "ce_source", f"/workspaces/{workspace}/stage-engine".encode()


@lru_cache(maxsize=1024)
def _shared(workspace: str, kind: str) -> Shared:
    """Give what all facts of one kind have in common: one object, so that it is encoded once."""
    return Shared((SPECVERSION, source_of(workspace), JSON, ("ce_type", kind.encode())))
