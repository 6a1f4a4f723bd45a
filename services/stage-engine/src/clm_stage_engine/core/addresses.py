"""Where a webhook may go: public addresses only, unless the installation allows its own network.

Link-local addresses (cloud metadata lives there), multicast and "any" are never allowed.
An IPv6 address that carries an IPv4 one is as good as that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_NAT64: Final = IPv6Network("64:ff9b::/96")
_METADATA: Final = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


def is_allowed(text: str, *, private: bool) -> bool:
    """Tell whether an address may be connected to.

    Args:
        text: an IPv4 or IPv6 address, perhaps with a zone.
        private: whether private networks and this machine are allowed.
    """
    address = ip_address(text.partition("%")[0])
    return all(_one_allowed(it, private=private) for it in (address, *_carried(address)))


def _one_allowed(address: Address, *, private: bool) -> bool:
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address in _METADATA:
        return False
    return private or address.is_global


def _carried(address: Address) -> Iterator[IPv4Address]:
    """Give the IPv4 addresses that an IPv6 one leads to."""
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield address.teredo[1]
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
