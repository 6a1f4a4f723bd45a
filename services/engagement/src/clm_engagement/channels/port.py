"""What the delivery asks of a channel, and what it hears back.

The four outcomes keep apart what must never be confused: `Unclear` may have arrived and is never
sent again; `Deferred` has certainly not arrived and may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from clm_engagement.core.contact import Contact
from clm_engagement.settings import Settings


class Part(Struct, frozen=True):
    """One template of a message.

    Attributes:
        name: its name, and the middle of its file's name: `<template>.<part>.liquid`.
        escaped: it is HTML, so values are escaped.
        must_read: variables it must use, as (object, field).
    """

    name: str
    escaped: bool = False
    must_read: frozenset[tuple[str, str]] = frozenset()


class Letter(Struct, frozen=True):
    """One message, ready to be handed over.

    Attributes:
        id: the message's id; whatever identifies it to the other side derives from it.
        address: where to.
        parts: the rendered parts by name.
        unsubscribe: the link that takes the recipient off the list.
        at: when it is sent, µs.
    """

    id: UUID
    address: str
    parts: Mapping[str, str]
    unsubscribe: str
    at: int


class Accepted(Struct, frozen=True):
    """The other side has taken responsibility for it."""


class Deferred(Struct, frozen=True):
    """It has certainly not arrived; try again later.

    Attributes:
        reason: a slug, or the other side's code.
        tried: the other side has seen it and said "later"; False: it was not even offered.
    """

    reason: str
    tried: bool


class Refused(Struct, frozen=True):
    """It will never arrive; `reason` is the class of refusal, `code` the other side's."""

    reason: str
    code: str | None = None


class Unclear(Struct, frozen=True):
    """It may have arrived: the answer was lost."""

    reason: str


Outcome = Accepted | Deferred | Refused | Unclear


class Sender(Protocol):
    """An open channel; may be used by several tasks at once."""

    async def ready(self) -> None:
        """Return if messages can be handed over now; raises `Unavailable` otherwise."""
        ...

    async def send(self, letter: Letter) -> Outcome:
        """Hand one message over, once; what went wrong is an outcome, never an exception."""
        ...


class Channel(Protocol):
    """A way to reach people."""

    @property
    def key(self) -> str:
        """Its name in journeys."""
        ...

    @property
    def parts(self) -> tuple[Part, ...]:
        """The templates that a message consists of."""
        ...

    def address(self, contact: Contact) -> str | None:
        """Give where a person is reached; None where that is not known."""
        ...

    def open(self, settings: Settings) -> AbstractAsyncContextManager[Sender]:
        """Open it; must not need the other side to be there."""
        ...
