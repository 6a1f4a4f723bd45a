"""The gate: whether a planned message may be sent now, asked in the transaction that claims it.

What was true when the message was planned may not be any more: the person has unsubscribed, the
stage was retracted, the same person or address has had the message already, its time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.instant import MINUTE
from clm_engagement.core.contact import Contact, address_hash
from clm_engagement.core.journey import RETRACTED

NO_ADDRESS: Final = "no_address"
SUPPRESSED: Final = "suppressed"
REPEATED: Final = "repeated"
EXPIRED: Final = "expired"
RETRIES_EXHAUSTED: Final = "retries_exhausted"

RECHECK: Final = 15 * MINUTE
"""A message that waits is looked at this often, besides when something about its person changes."""

Key = tuple[str, str, str]
"""Workspace, journey and step: within these nobody gets two messages."""


class Candidate(Struct, frozen=True):
    """A pending message and what the gate must know about it.

    Attributes:
        id: the message's id.
        workspace: the workspace's key.
        journey: the journey's key.
        step: the step's key.
        channel: how it is to be delivered.
        person: the profile that owns the identity it was planned for, as of now.
        entered_at: when the stage was entered, µs of event time.
        attempts: how often it was tried; each time the other side asked to try again.
        retracted: its stage entry does not stand.
        contact: what is known about addressing the person.
        others: the addresses that their identities have told, whichever is written to.
    """

    id: UUID
    workspace: str
    journey: str
    step: str
    channel: str
    person: UUID
    entered_at: int
    attempts: int
    retracted: bool
    contact: Contact
    others: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """Within which nobody gets two messages."""
        return self.workspace, self.journey, self.step


class Send(Struct, frozen=True):
    """It may be sent, to this address; nobody else may claim it."""

    candidate: Candidate
    address: str
    address_hash: bytes


class Hold(Struct, frozen=True):
    """It waits until something changes, at most until `until` (µs)."""

    id: UUID
    reason: str
    until: int


class Skip(Struct, frozen=True):
    """It will never be sent: nothing was tried."""

    id: UUID
    reason: str


class Fail(Struct, frozen=True):
    """It will never be sent: it was tried, and its time is over."""

    id: UUID
    reason: str


Verdict = Send | Hold | Skip | Fail


class Memory(Struct, frozen=True):
    """What stands against candidates, read in the same transaction.

    Attributes:
        persons: who has had (or may have had) a message, by its key.
        addresses: likewise which address hashes.
        suppressed: workspace and address hash of those who do not want to be written to.
    """

    persons: frozenset[tuple[Key, UUID]] = frozenset()
    addresses: frozenset[tuple[Key, bytes]] = frozenset()
    suppressed: frozenset[tuple[str, bytes]] = frozenset()


AddressOf = Callable[[str, Contact], str | None]
"""Gives a contact's address on a channel."""


def hashes_of(candidates: Iterable[Candidate], address_of: AddressOf) -> set[bytes]:
    """Give the hashes of all addresses that stand for these candidates' persons."""
    return {
        address_hash(it.workspace, each)
        for it in candidates
        for each in (address_of(it.channel, it.contact), *it.others)
        if each is not None
    }


def permit(
    candidates: Sequence[Candidate],
    memory: Memory,
    address_of: AddressOf,
    *,
    room: int,
    now: int,
    window: int,
) -> list[Verdict]:
    """Decide about candidates, in order; of two to one person or address only the first passes.

    It ends before the message that there is no room for: that one is not decided about yet.

    Args:
        candidates: the pending messages that are due.
        memory: what stands against them.
        address_of: gives a contact's address on a channel.
        room: how many may be sent at this moment.
        now: the present instant, µs.
        window: how long after its stage was entered a message may be sent, µs.
    """
    persons, addresses = set(memory.persons), set(memory.addresses)
    verdicts: list[Verdict] = []
    for it in candidates:
        address = address_of(it.channel, it.contact)
        hashed = b"" if address is None else address_hash(it.workspace, address)
        late = _lateness(it, address, now - window)
        if it.retracted:
            verdicts.append(Skip(it.id, RETRACTED))
        elif (it.key, it.person) in persons or (it.key, hashed) in addresses:
            verdicts.append(Skip(it.id, REPEATED))
        elif late is not None:
            verdicts.append(late)
        elif _is_suppressed(it, hashed, memory):
            verdicts.append(Skip(it.id, SUPPRESSED))
        elif address is None:
            verdicts.append(Hold(it.id, NO_ADDRESS, min(it.entered_at + window, now + RECHECK) + 1))
        elif room == 0:
            break
        else:
            room -= 1
            verdicts.append(Send(it, address, hashed))
            persons.add((it.key, it.person))
            addresses.add((it.key, hashed))
    return verdicts


def _is_suppressed(it: Candidate, hashed: bytes, memory: Memory) -> bool:
    """Tell whether the person wants no messages, whichever of their addresses they said it of."""
    hashes = (hashed, *(address_hash(it.workspace, each) for each in it.others))
    return any((it.workspace, each) in memory.suppressed for each in hashes)


def _lateness(it: Candidate, address: str | None, live_since: int) -> Skip | Fail | None:
    """Give the verdict on a message whose time is over; None where it is not."""
    if it.entered_at >= live_since:
        return None
    if it.attempts:
        return Fail(it.id, RETRIES_EXHAUSTED)
    return Skip(it.id, NO_ADDRESS if address is None else EXPIRED)
