"""Where webhooks may go: no address of one's own network, however it is written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_stage_engine.core.addresses import is_allowed

OWN = [
    "10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.8.8.8", "100.64.0.1", "::1",
    "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "::ffff:0:0", "224.0.0.1", "fe80::1%eth0", "::", "ff02::1", "fd00:ec2::254",
    "100.100.100.200", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
]  # fmt: skip


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(address, private=False)


@pytest.mark.parametrize("address", OWN)
def test_one_s_own_network_is_refused(address: str) -> None:
    assert not is_allowed(address, private=False)


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "::1", "fd12::1"])
def test_one_s_own_network_is_allowed_where_the_installation_says_so(address: str) -> None:
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_multicast_and_nowhere_are_never_allowed(address: str) -> None:
    assert not is_allowed(address, private=True)
    assert not is_allowed(address, private=False)


@given(st.ip_addresses(v=4))
def test_an_ipv6_address_is_no_better_than_the_ipv4_one_it_carries(inner: IPv4Address) -> None:
    carried = [
        IPv6Address((0xFFFF << 32) | int(inner)),
        IPv6Address((0x64FF9B << 96) | int(inner)),
        IPv6Address((0x2002 << 112) | (int(inner) << 80)),
    ]

    for outer in carried:
        for private in (False, True):
            if is_allowed(str(outer), private=private):
                assert is_allowed(str(inner), private=private)


@given(st.ip_addresses())
def test_what_is_allowed_is_public_and_allowing_more_takes_nothing_away(
    address: IPv4Address | IPv6Address,
) -> None:
    if is_allowed(str(address), private=False):
        assert address.is_global
        assert is_allowed(str(address), private=True)
