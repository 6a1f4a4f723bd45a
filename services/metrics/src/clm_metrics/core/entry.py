"""A stage entry: a stage change as this service keeps it, and which version of it is true.

The river asserts and retracts stage changes, in any order and more than once. Per person and change
id the entry with the highest version wins, so what is kept is a function of the *set* of messages.
A retracted entry is kept too: it must beat an assertion that arrives after it.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.stage_change import StageChange
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339

LONGEST_NAME: Final = 128
"""Characters of a workspace, lifecycle or stage: they are parts of indexed keys."""

_NEVER: Final = from_rfc3339("0002-01-01")
_FOREVER: Final = from_rfc3339("9998-01-01")
_HIGHEST_VERSION: Final = 2**63 - 1


class Person(NamedTuple):
    """Whose timeline an entry belongs to: one profile in one lifecycle."""

    workspace: str
    lifecycle: str
    profile: UUID


class Entry(Struct, frozen=True, gc=False):
    """A person entered a stage, or a correction says that they did not.

    Attributes:
        person: whose entry it is.
        id: the change's id; the same change always has the same one.
        version: the profile's version that decided this.
        retracted: the change is taken back.
        at: when it happened, µs of event time.
        source: the stage that was left; None where the person first appeared.
        target: the stage that was entered.
        cause: the message id of the touchpoint behind it; None for a deadline.
    """

    person: Person
    id: UUID
    version: int
    retracted: bool
    at: int
    source: str | None
    target: str
    cause: str | None

    @property
    def rank(self) -> tuple[int, bool]:
        """What decides between two messages about the same change: the higher rank is true."""
        return self.version, self.retracted

    @property
    def place(self) -> tuple[int, bool, bool, str, bytes]:
        """Where it stands in its person's timeline.

        Within one instant the first appearance comes first, then a deadline that fell due, then
        touchpoints by their message id: the order in which the stages were decided.
        """
        return (
            self.at,
            self.source is not None,
            self.cause is not None,
            self.cause or "",
            self.id.bytes,
        )


def entry_of(change: StageChange) -> Entry:
    """Read a stage change as an entry.

    Raises:
        InvalidMessage: a value can never be kept: no such instant, a version or a name out of
            bounds, or a NUL character, which PostgreSQL cannot store.
    """
    if not 0 < change.version <= _HIGHEST_VERSION:
        raise _invalid(change, f"version {change.version} is not between 1 and 2^63 - 1")
    source = change.target if change.source is None else change.source
    for name in (change.workspace, change.lifecycle, change.target, source):
        if not name or len(name) > LONGEST_NAME:
            raise _invalid(change, f"the name {name[:20]!r} has not 1 to {LONGEST_NAME} characters")
    if "\0" in f"{change.workspace}{change.lifecycle}{change.target}{change.source}{change.cause}":
        raise _invalid(change, "a text holds a NUL character")
    return Entry(
        person=Person(change.workspace, change.lifecycle, change.profile_id),
        id=change.id,
        version=change.version,
        retracted=change.retracted,
        at=_instant(change),
        source=change.source,
        target=change.target,
        cause=change.cause,
    )


def _instant(change: StageChange) -> int:
    try:
        at = from_rfc3339(change.at)
    except (ValueError, OverflowError) as error:
        raise _invalid(change, f"at {change.at[:40]!r} is no RFC 3339 time") from error
    if not _NEVER <= at < _FOREVER:
        raise _invalid(change, f"at {change.at!r} is not between the years 2 and 9997")
    return at


def _invalid(change: StageChange, why: str) -> InvalidMessage:
    return InvalidMessage("stage_change.invalid", f"stage change {change.id}: {why}")
