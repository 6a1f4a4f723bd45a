"""Facts as messages: what is published of a touchpoint, a stage change or a moved identity.

Pure functions of the fact, so that a fact published right after its commit and the same fact
published from the rows after a crash are the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, assert_never

import msgspec
from msgspec import Raw

from clm_common.bus.ports import Message, Shared
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

_encode: Final = msgspec.json.Encoder().encode
_TOUCHPOINT: Final = TYPE_OF[TouchpointApplied]
_STAGE_CHANGE: Final = TYPE_OF[StageChange]
_IDENTITY_MOVED: Final = TYPE_OF[IdentityMoved]
_ERASED: Final = TYPE_OF[ProfileErased]


def messages(facts: Iterable[JourneyMessage]) -> Iterator[Message]:
    """Write facts, one after the other: each for the river, changes and erasures in public too."""
    for fact in facts:
        match fact:
            case TouchpointApplied():
                yield _touchpoint(fact)
            case StageChange():
                yield from _stage_change(fact)
            case IdentityMoved():
                yield _identity_moved(fact)
            case ProfileErased():
                yield from _erased(fact)
            case _:
                assert_never(fact)


def _touchpoint(fact: TouchpointApplied) -> Message:
    name = f"{fact.source}/{fact.message_id}"
    return _message(JOURNEY.name, fact, name, fact.time, _TOUCHPOINT, _encode(fact))


def _stage_change(fact: StageChange) -> tuple[Message, Message]:
    name, value = f"{fact.id}:{fact.version}", _encode(fact)
    return (
        _message(JOURNEY.name, fact, name, fact.at, _STAGE_CHANGE, value),
        _message(STAGE_CHANGES.name, fact, name, fact.at, PUBLIC_TYPE, value),
    )


def _identity_moved(fact: IdentityMoved) -> Message:
    name = f"{fact.identity_id}:{fact.profile_id}:{fact.version}"
    return _message(JOURNEY.name, fact, name, fact.time, _IDENTITY_MOVED, _encode(fact))


def _erased(fact: ProfileErased) -> tuple[Message, Message]:
    name, value = f"{fact.erasure}:{fact.part}", _encode(fact)
    return (
        _message(JOURNEY.name, fact, name, fact.time, _ERASED, value),
        _message(STAGE_CHANGES.name, fact, name, fact.time, PUBLIC_ERASED, value),
    )


def raw(body: bytes) -> Raw:
    """Hold an event's original JSON for a message, unparsed."""
    return Raw(body)


def _message(
    topic: str, fact: JourneyMessage, name: str, time: str, kind: str, value: bytes
) -> Message:
    key = str(fact.profile_id).encode()
    own = ("ce_subject", key), ("ce_id", name.encode()), ("ce_time", time.encode())
    return Message(topic, key, value, own, _shared(fact.workspace, kind))


@lru_cache(maxsize=1024)
def source_of(workspace: str) -> Header:
    """Give the header that says of which workspace's river a message is."""
    return "ce_source", f"/workspaces/{workspace}/stage-engine".encode()


@lru_cache(maxsize=1024)
def _shared(workspace: str, kind: str) -> Shared:
    """Give what all facts of one kind have in common: one object, so that it is encoded once."""
    return Shared((SPECVERSION, source_of(workspace), JSON, ("ce_type", kind.encode())))
