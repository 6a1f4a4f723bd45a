"""Letters: a permitted message rendered for its recipient, with its way out."""

from __future__ import annotations

from msgspec import Struct

from clm_common.instant import SECOND
from clm_engagement.channels.port import Letter
from clm_engagement.core import unsubscribe
from clm_engagement.core.contact import Contact
from clm_engagement.core.keyed import Keyed
from clm_engagement.core.permit import Send
from clm_engagement.core.template import Values
from clm_engagement.definitions import Definitions


class Terms(Struct, frozen=True):
    """On which terms messages are delivered.

    Attributes:
        sender: the sender's name and address.
        public_url: where recipients reach this service.
        signing_key: signs the links in messages.
        window: how long after its stage was entered a message may be sent, µs.
        lease: how long handing one over may take before it counts as lost, s.
        at_once: how many are handed over at the same time.
        keyed: says how hashes of addresses are kept.
    """

    sender: tuple[str, str]
    public_url: str
    signing_key: bytes
    window: int
    lease: float
    at_once: int
    keyed: Keyed


def write(send: Send, definitions: Definitions, terms: Terms, *, now: int) -> Letter:
    """Write the letter of a message that may be sent.

    Raises:
        RenderFailed: a template reaches one of its bounds with this contact.
    """
    it = send.candidate
    token = unsubscribe.sign(it.id, terms.signing_key)
    link = f"{terms.public_url.rstrip('/')}/u/{token}"
    parts = definitions.render(it.journey, it.step, _values(it.contact, terms, link))
    return Letter(it.id, send.address, parts, link, now)


def _values(contact: Contact, terms: Terms, link: str) -> Values:
    name, address = terms.sender
    return {
        "contact": {each: getattr(contact, each) for each in Contact.__struct_fields__},
        "sender": {"name": name or address.rpartition("@")[2], "email": address},
        "link": {"unsubscribe": link},
    }


def lease_of(timeout: int) -> float:
    """Give the lease, in seconds, for a channel that takes up to `timeout` µs for a message."""
    return 2 * timeout / SECOND
