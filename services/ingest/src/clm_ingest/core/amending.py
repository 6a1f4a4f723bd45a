"""Changes what a policy says of an event, and leaves every other value's bytes as they are."""

import ipaddress
from typing import Final

import msgspec
from msgspec import Raw, Struct

from clm_ingest.core.policy import IpHandling

Fields = dict[str, Raw]

_as_maybe_fields: Final = msgspec.json.Decoder(Fields | None).decode
_encode: Final = msgspec.json.Encoder().encode

_KEPT_BITS: Final = {4: 24, 6: 48}


class Amendment(Struct, frozen=True):
    """What a policy changes in an event.

    Attributes:
        ip: what becomes of the sender's address.
        address: the sender's address, where it is known.
    """

    ip: IpHandling
    address: str | None = None

    def apply(self, fields: Fields) -> bool:
        """Change an event's fields as the policy says; tells whether anything changed."""
        context = context_of(fields)
        if context is None or not self._settle(context):
            return False
        fields["context"] = Raw(_encode(context))
        return True

    def _settle(self, context: Fields) -> bool:
        """Settle `context.ip`; tells whether anything changed."""
        sent = context.get("ip")
        if self.ip == "drop":
            return context.pop("ip", None) is not None
        if sent is not None and bytes(sent) not in {b"null", b'""'}:
            return self.ip == "truncate" and _put(context, truncated(_text(sent)), sent)
        address = truncated(self.address) if self.ip == "truncate" else self.address
        return _put(context, address, sent)


def context_of(fields: Fields) -> Fields | None:
    """Give an event's context, an empty one if it has none; None if it is no object."""
    try:
        return _as_maybe_fields(fields.get("context", b"null")) or {}
    except msgspec.ValidationError:
        return None


def truncated(address: str | None) -> str | None:
    """Take an address's last octet (IPv4) or its last 80 bits (IPv6); None if it is no address."""
    if address is None:
        return None
    try:
        found = ipaddress.ip_address(address.strip())
    except ValueError:
        return None
    whole = getattr(found, "ipv4_mapped", None) or found
    network = (str(whole).partition("%")[0], _KEPT_BITS[whole.version])
    return str(ipaddress.ip_network(network, strict=False).network_address)


def _put(context: Fields, address: str | None, sent: Raw | None) -> bool:
    """Set the address, or take out what is none; tells whether anything changed."""
    if address is None:
        return context.pop("ip", None) is not None
    new = _encode(address)
    context["ip"] = Raw(new)
    return sent is None or bytes(sent) != new


def _text(sent: Raw) -> str | None:
    try:
        return msgspec.json.decode(sent, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
