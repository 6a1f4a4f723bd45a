"""Whose request it is behind proxies: the nearest address that is no proxy of ours.

Only a proxy we were told of is believed; what a stranger writes into these headers counts nothing.
Source: RFC 7239 (Forwarded); `X-Forwarded-For` as proxies write it.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FOR: Final = re.compile(r'(?:^|[;,])\s*for\s*=\s*("[^"]*"|[^;,\s]*)', re.IGNORECASE)
_MOST: Final = 32


class Proxies:
    """The proxies in front of ingest."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        """Make it.

        Args:
            networks: where they are.
        """
        self._networks = tuple(networks)

    def trusts(self, peer: str) -> bool:
        """Tell whether an address is a proxy's."""
        found = address_of(peer)
        return found is not None and self._trusts(found)

    def sender(self, peer: str, forwarded_for: bytes, forwarded: bytes) -> str | None:
        """Give the address of whoever sent a request; None if a proxy does not say.

        Args:
            peer: who is connected to us.
            forwarded_for: the `X-Forwarded-For` header; several are joined by commas.
            forwarded: the `Forwarded` header, looked at where the other is absent.
        """
        found = address_of(peer)
        for step in reversed(_chain(forwarded_for, forwarded)):
            if found is None or not self._trusts(found):
                break
            found = address_of(step)
        return None if found is None else str(found)

    def _trusts(self, address: Address) -> bool:
        return lies_in(address, self._networks)


def address_of(text: str) -> Address | None:
    """Read an address, with or without a port and brackets; IPv4 within IPv6 is IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def lies_in(address: Address, networks: Iterable[Network]) -> bool:
    """Tell whether an address is in one of some networks."""
    return any(address in network for network in networks)


def networks_of(text: str) -> Sequence[Network]:
    """Read networks as a setting names them: addresses or CIDRs, parted by commas.

    Raises:
        ValueError: one is none.
    """
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


def _chain(forwarded_for: bytes, forwarded: bytes) -> Sequence[str]:
    """Give the addresses a request came by, the nearest last."""
    if forwarded_for:
        return forwarded_for.decode("latin-1").split(",")[-_MOST:]
    return _FOR.findall(forwarded.decode("latin-1"))[-_MOST:]
