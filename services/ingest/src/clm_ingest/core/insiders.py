"""Tells whether a touchpoint is of the company's own people: by their ids, or by their addresses.

Like everything that is marked it is published; whoever counts customers can leave it out.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from clm_ingest.core.glimpse import UNREADABLE


class Insiders(Struct, frozen=True):
    """The company's own people.

    Attributes:
        users: their ids, as a touchpoint has them once it is admitted (text).
        domains: what stands behind the `@` of their addresses, in lower case.
        endings: what it ends with, for every domain below one (`.example.com`).
    """

    users: frozenset[str]
    domains: frozenset[str]
    endings: tuple[str, ...]

    @classmethod
    def of(cls, users: Iterable[str], domains: Iterable[str]) -> "Insiders | None":
        """Read them as a policy has them; None if it names nobody."""
        wanted = frozenset(domains)
        endings = tuple(sorted(it[1:] for it in wanted if it.startswith("*.")))
        found = cls(frozenset(users), wanted, endings)
        return found if found.users or found.domains else None

    def include(self, customer: str, raw: bytes) -> bool:
        """Tell whether a touchpoint is one of theirs.

        Args:
            customer: its `userId`, else its `anonymousId`; it may be an address itself.
            raw: the event, a JSON object.
        """
        if customer in self.users:
            return True
        return bool(self.domains) and any(map(self._own, (customer, *_addresses(raw))))

    def _own(self, address: str) -> bool:
        """Tell whether an address is of one of their domains."""
        _, at, domain = address.strip().lower().rpartition("@")
        return bool(at) and (domain in self.domains or domain.endswith(self.endings))


_ABSENT: Final = Raw(b"null")


class _Person(Struct):
    """What is read of traits or properties."""

    email: Any = None  # Any: the sender's own JSON; only text matters


class _Context(Struct):
    """What is read of a context."""

    traits: Raw = _ABSENT


class _Event(Struct):
    """What is read of an event."""

    traits: Raw = _ABSENT
    properties: Raw = _ABSENT
    context: Raw = _ABSENT


_as_person: Final = msgspec.json.Decoder(_Person).decode
_as_context: Final = msgspec.json.Decoder(_Context).decode
_as_event: Final = msgspec.json.Decoder(_Event).decode


def _addresses(raw: bytes) -> Iterator[str]:
    """Give the addresses of an event's person, wherever SDKs put them."""
    event = _as_event(raw)
    for holder in (event.traits, _traits_in(event.context), event.properties):
        try:
            email = _as_person(holder).email
        except UNREADABLE:
            continue  # there is none, or it is no object
        if isinstance(email, str):
            yield email


def _traits_in(context: Raw) -> Raw:
    try:
        return _as_context(context).traits
    except UNREADABLE:
        return _ABSENT
