"""Facts: what engagement remembers of the river, each a register that takes its news in any order.

Every kind of fact has a rule that picks one of two values and does not care which came first, so
the memory is a function of the set of messages. The store applies the same rules in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, assert_never
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.contracts import ids
from clm_common.contracts.journey import (
    IdentityMoved,
    JourneyMessage,
    ProfileErased,
    TouchpointApplied,
)
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import customer_id
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339
from clm_engagement.core.contact import traits_of

IDENTIFY: Final = "identify"


class Identity(Struct, frozen=True):
    """An identifier of somebody, and whose it is.

    Attributes:
        id: derived from the identifier; also the id of the profile it has on its own.
        workspace: the workspace's key.
        owner: the profile that has its touchpoints.
        kind: `user_id` or `anonymous_id`, once known.
        value: the identifier itself, once known.
        linked_at: the instant (µs) of the link that moved it to `owner`; None: it never moved.
        linked_from: who had it before that move.
        moves: how often it had moved with that move; 0 where that was not counted.
    """

    id: UUID
    workspace: str
    owner: UUID
    kind: str | None = None
    value: str | None = None
    linked_at: int | None = None
    linked_from: UUID | None = None
    moves: int = 0


class Trait(Struct, frozen=True):
    """What an identify call said about one field; the newest by event time holds.

    Attributes:
        identity: whose field it is.
        field: its name, one of `contact.FIELDS`.
        value: None takes the field back.
        time: event time, µs.
        message_id: decides between equal times.
    """

    identity: UUID
    field: str
    value: str | None
    time: int
    message_id: str


class Entry(Struct, frozen=True):
    """A stage that was entered, or not after all; the highest version holds.

    Attributes:
        id: the stage change's id.
        workspace: the workspace's key.
        profile: who entered.
        version: the profile's version that decided it.
        lifecycle: the lifecycle's key.
        source: the stage that was left; None where the profile first appeared.
        target: the stage that was entered.
        at: event time, µs.
        retracted: it did not happen.
        historical: it follows from what was imported from the past.
    """

    id: UUID
    workspace: str
    profile: UUID
    version: int
    lifecycle: str
    source: str | None
    target: str
    at: int
    retracted: bool
    historical: bool = False


class Facts(Struct):
    """What some messages say, each register folded to one value."""

    identities: dict[UUID, Identity] = {}
    traits: dict[tuple[UUID, str], Trait] = {}
    entries: dict[UUID, Entry] = {}


class _Touchpoint(Struct, frozen=True, rename="camel"):
    """The part of a touchpoint that is read of every one."""

    type: str


class _Identify(Struct, frozen=True, rename="camel"):
    """The part of an identify call that is read."""

    user_id: str | int | float | None = None
    anonymous_id: str | int | float | None = None
    traits: object = None
    context: object = None


_touchpoint: Final = msgspec.json.Decoder(_Touchpoint).decode
_identify: Final = msgspec.json.Decoder(_Identify).decode


def learn(facts: Facts, message: JourneyMessage) -> None:
    """Take one message of the river into account.

    Raises:
        InvalidMessage: it contradicts its own contract; nothing was taken from it.
    """
    try:
        match message:
            case StageChange():
                _learn_change(facts, message)
            case IdentityMoved():
                _learn_move(facts, message)
            case TouchpointApplied():
                _learn_touchpoint(facts, message)
            case ProfileErased():
                pass  # whom to forget is the handler's affair: nothing is learnt from it
            case _:
                assert_never(message)
    except (ValueError, msgspec.MsgspecError) as error:
        raise InvalidMessage(
            "journey.invalid", f"a fact of the river is broken: {error}"
        ) from error


def _learn_change(facts: Facts, change: StageChange) -> None:
    at = from_rfc3339(change.at)
    user = change.user_id
    own = user is not None and (
        ids.profile_id(change.workspace, ids.USER_ID, user) == change.profile_id
    )
    kind = ids.USER_ID if own else None
    _identity(
        facts,
        Identity(
            change.profile_id, change.workspace, change.profile_id, kind, user if own else None
        ),
    )
    new = Entry(
        change.id,
        change.workspace,
        change.profile_id,
        change.version,
        change.lifecycle,
        change.source,
        change.target,
        at,
        change.retracted,
        change.historical,
    )
    old = facts.entries.get(new.id)
    facts.entries[new.id] = new if old is None else newer_entry(old, new)


def _learn_move(facts: Facts, move: IdentityMoved) -> None:
    _identity(
        facts,
        Identity(
            move.identity_id,
            move.workspace,
            move.to_profile,
            linked_at=from_rfc3339(move.time),
            linked_from=move.from_profile,
            moves=move.moves,
        ),
    )


def _learn_touchpoint(facts: Facts, applied: TouchpointApplied) -> None:
    if _touchpoint(applied.touchpoint).type != IDENTIFY:
        return
    call, time = _identify(applied.touchpoint), from_rfc3339(applied.time)
    kind, value = ids.USER_ID, customer_id(call.user_id)
    if value is None:
        kind, value = ids.ANONYMOUS_ID, customer_id(call.anonymous_id)
    if value is None or "\0" in value or "\0" in applied.message_id:
        raise InvalidMessage("journey.invalid", "an identify call without a usable id was applied")
    identity = ids.profile_id(applied.workspace, kind, value)
    _identity(facts, Identity(identity, applied.workspace, applied.profile_id, kind, value))
    for field, said in traits_of(call.traits, call.context).items():
        new = Trait(identity, field, said, time, applied.message_id)
        old = facts.traits.get((identity, field))
        facts.traits[identity, field] = new if old is None else newer_trait(old, new)


def _identity(facts: Facts, new: Identity) -> None:
    old = facts.identities.get(new.id)
    facts.identities[new.id] = new if old is None else joined(old, new)


def newer_entry(one: Entry, other: Entry) -> Entry:
    """Pick the entry that holds: the one with the higher version."""
    return other if other.version > one.version else one


def newer_trait(one: Trait, other: Trait) -> Trait:
    """Pick the trait that holds: the newer by event time, then by message id."""
    return other if (other.time, other.message_id) > (one.time, one.message_id) else one


def joined(one: Identity, other: Identity) -> Identity:
    """Join what two messages know of one identity.

    Of two moves the later one holds, as they are counted. Where they were not, an identity moves to
    ever earlier links, so the move with the earliest link is the last one; of two moves at one
    instant, the one that takes over from the other. Without a move, whoever is not the identity
    itself has it.
    """
    owner = other if _overrules(one, other) else one
    named = one if one.value is not None else other
    return Identity(
        one.id,
        one.workspace,
        owner.owner,
        named.kind,
        named.value,
        owner.linked_at,
        owner.linked_from,
        owner.moves,
    )


def _overrules(one: Identity, other: Identity) -> bool:
    if other.moves != one.moves:
        return other.moves > one.moves
    if other.linked_at is None or one.linked_at is None:
        if (other.linked_at is None) != (one.linked_at is None):
            return other.linked_at is not None
        return other.owner != one.id and (one.owner == one.id or other.owner < one.owner)
    if other.linked_at != one.linked_at:
        return other.linked_at < one.linked_at
    return other.linked_from == one.owner and other.owner != one.owner


def learn_all(messages: Iterable[JourneyMessage]) -> Facts:
    """Take many messages into account, in whatever order."""
    facts = Facts()
    for message in messages:
        learn(facts, message)
    return facts
