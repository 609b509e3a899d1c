"""Addresses of the internet: which of them webhooks may be sent to.

What is not known to be public is refused. `ipaddress` is not asked: what its `is_global` says has changed from release to release.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, without the few blocks in them that are public.
_SPECIAL_IPV4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # this network, and unspecified
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared, behind a carrier's NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # of protocols
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)

_UNICAST_IPV6 = IPv6Network("2000::/3")
"""All that IANA gives out: what is special stands outside, but for these."""

_SPECIAL_IPV6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # of protocols: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)

_EMBEDDING_IPV4 = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped: the operating system connects to the address inside
    IPv6Network("64:ff9b::/96"),  # NAT64: where there is only IPv6, all that speaks IPv4 has such an address
)

_METADATA = frozenset(
    ip_address(one)
    for one in (
        "100.100.100.200",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "192.0.0.192",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
"""Where clouds give machines and containers their credentials."""

_NEVER = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("255.255.255.255/32"),
    IPv6Network("::/128"),
    IPv6Network("ff00::/8"),
)
"""Unspecified, which connects to this machine; multicast; broadcast."""


def networks(text: str) -> tuple[Network, ...]:
    """The networks of a text such as `10.20.0.0/16,fd00::/8`. Raises ValueError."""
    return tuple(ip_network(one.strip()) for one in text.split(",") if one.strip())


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet; one that stands for an IPv4 address is what that is."""
    address = _meant(address)
    if address in _METADATA:
        return False
    if isinstance(address, IPv4Address):
        return not is_within(address, _SPECIAL_IPV4)
    return address in _UNICAST_IPV6 and not is_within(address, _SPECIAL_IPV6)


def is_within(address: Address, blocks: Sequence[Network]) -> bool:
    """Whether one of some networks holds an address, or the IPv4 address that it stands for."""
    meant = _meant(address)
    return any(meant in block or address in block for block in blocks)


def may_be_called(address: Address, private_networks: Sequence[Network]) -> bool:
    """Whether a webhook may be sent to an address: a public one, or one of the networks that an operator has named.

    Metadata services, multicast and the like are refused whatever was named.
    """
    if _meant(address) in _METADATA or is_within(address, _NEVER):
        return False
    return is_public(address) or is_within(address, private_networks)


def _meant(address: Address) -> Address:
    """The IPv4 address that one of IPv6 stands for, or the address itself, whatever interface it is to be reached by."""
    if isinstance(address, IPv4Address):
        return address
    if any(address in block for block in _EMBEDDING_IPV4):
        return IPv4Address(address.packed[-4:])
    return IPv6Address(address.packed)
