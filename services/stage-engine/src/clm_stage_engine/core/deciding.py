"""Decisions on the wire: what an alias call, or somebody by hand, says about who is one person.

An alias says that `previousId`, which may be a customer's id or a device's, is its user. A sender
repeats it at each login, so all aliases of two ids are one decision, with the place of the first.
A decision by hand is a tracked event of our own (`ours.DECISIONS`); each is one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.bus.ports import Message
from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.contracts.touchpoint import customer_id
from clm_stage_engine.core.identity import Derive, Key, Sighting
from clm_stage_engine.core.merging import Decision, Kind
from clm_stage_engine.core.ours import DECISIONS, EVENTS, SOURCE, Occasion, sent

ALIAS: Final = "alias"
KINDS: Final = frozenset({ALIAS, *DECISIONS})
"""The types of touchpoints that decide."""

Identify = Callable[..., UUID]
"""Gives the id of a decision, as `clm_common.contracts.ids.decision_id` does."""


class Said(Struct, frozen=True):
    """A decision, and the identifiers that it names, by id."""

    decision: Decision
    keys: Mapping[UUID, Key]


class Event(Sighting, Protocol):
    """The event that may hold a decision; its `message_id` is `source/message id`."""

    @property
    def type(self) -> str:
        """Its type as the engine sees it."""
        ...

    @property
    def source(self) -> str:
        """Who sent it."""
        ...

    @property
    def workspace(self) -> str:
        """The workspace's key."""
        ...

    @property
    def body(self) -> bytes:
        """Its JSON."""
        ...


class ByHand(Struct, frozen=True):
    """What somebody decided.

    Attributes:
        members: kind and value of each identity that it is about.
        reason: why.
        author: who decided.
        undoes: the decision that it takes back.
    """

    members: tuple[tuple[str, str], ...]
    reason: str
    author: str
    undoes: UUID | None = None


def message(kind: Kind, decision: ByHand, occasion: Occasion) -> Message:
    """Write a decision as a message of `clm.touchpoints`.

    Raises:
        ValueError: reason or author is missing.
    """
    if not decision.reason.strip() or not decision.author.strip():
        raise ValueError("a decision needs a reason and an author")
    properties: dict[str, object] = msgspec.structs.asdict(decision)
    return sent(EVENTS[kind], properties, occasion)


class _Alias(Struct, frozen=True, rename="camel"):
    previous_id: str | int | float | None = None


class _Decided(Struct, frozen=True):
    properties: ByHand


_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_alias: Final = msgspec.json.Decoder(_Alias).decode
_by_hand: Final = msgspec.json.Decoder(_Decided).decode


def said(
    event: Event, blocks: Callable[[Key], bool], identify: Identify, derive: Derive
) -> Said | None:
    """Read a decision out of an event; None where it holds none.

    Args:
        event: the event.
        blocks: tells whether an identifier stands for nobody.
        identify: gives a decision its id.
        derive: gives an identity its id.
    """
    try:
        if event.type == ALIAS:
            return _of_alias(event, blocks, identify, derive)
        if event.source == SOURCE and event.type in DECISIONS:
            return _of_hand(event, _by_hand(event.body).properties, identify, derive)
    except _BROKEN:
        return None
    return None


def _of_alias(
    event: Event, blocks: Callable[[Key], bool], identify: Identify, derive: Derive
) -> Said | None:
    previous, user = customer_id(_alias(event.body).previous_id), event.user
    if previous is None or "\0" in previous or user is None or previous == user[2]:
        return None
    if event.anonymous is not None and event.anonymous[2] == previous:
        return None  # the event carries both ids: it is the link already
    former = (event.workspace, USER_ID, previous), (event.workspace, ANONYMOUS_ID, previous)
    if any(blocks(key) for key in former):
        return None
    keys = {derive(*key): key for key in (user, *former)}
    one, other, _ = keys
    name = identify(event.workspace, ALIAS, *sorted((str(one), str(other))))
    return Said(_decision(event, name, ALIAS, tuple(keys), None), keys)


def _of_hand(event: Event, told: ByHand, identify: Identify, derive: Derive) -> Said | None:
    named = [(event.workspace, kind, value) for kind, value in told.members]
    name = identify(event.workspace, "decision", event.message_id)
    keys = {derive(*key): key for key in named}
    return Said(_decision(event, name, DECISIONS[event.type], tuple(keys), told), keys)


def _decision(
    event: Event, name: UUID, kind: Kind, members: tuple[UUID, ...], told: ByHand | None
) -> Decision:
    return Decision(
        id=name,
        workspace=event.workspace,
        kind=kind,
        time=event.time,
        name=event.message_id,
        members=members,
        undoes=None if told is None else told.undoes,
        reason=None if told is None else told.reason,
        author=None if told is None else told.author,
    )
