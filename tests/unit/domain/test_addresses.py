"""Which addresses webhooks may be sent to: the first and last of every special block, and every way to write one inside another."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.addresses import is_public, is_within, may_be_called, networks

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "3ffe:ffff::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]

NOT_PUBLIC = {
    "unspecified": ["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"],
    "private": ["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
    "shared": ["100.64.0.0", "100.127.255.255"],
    "loopback": ["127.0.0.0", "127.0.0.1", "127.1.2.3", "127.255.255.255", "::1"],
    "link-local": ["169.254.0.0", "169.254.255.255", "fe80::", "fe80::1", "fe80::1%eth0", "febf:ffff::1"],
    "protocols": ["192.0.0.0", "192.0.0.8", "192.0.0.255", "192.88.99.1", "2001::1", "2001:1ff:ffff::1"],
    "documentation": ["192.0.2.1", "198.51.100.7", "203.0.113.255", "2001:db8::1", "2001:db8:ffff::1", "3fff::1"],
    "benchmarking": ["198.18.0.0", "198.19.255.255", "2001:2::1"],
    "multicast": ["224.0.0.0", "224.0.0.1", "239.255.255.255", "ff00::", "ff02::1", "ffff::1"],
    "reserved": ["240.0.0.0", "255.255.255.254", "4000::1", "1fff::1", "100::1", "5f00::1", "e000::1"],
    "broadcast": ["255.255.255.255"],
    "unique local": ["fc00::", "fd00::1", "fdff:ffff::1"],
    "site-local": ["fec0::1", "feff::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0", "::ffff:7f00:1"],
    "IPv4-compatible": ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8", "::7f00:1"],
    "IPv4-translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe"],
    "NAT64 of a network's own": ["64:ff9b:1::7f00:1", "64:ff9b:1::808:808", "64:ff9b:1:ffff::1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:7f00:1::"],
}

INSIDE = networks("10.20.0.0/16, fd00::/8,169.254.0.0/16,")


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public(text: str) -> None:
    assert is_public(ip_address(text))
    assert may_be_called(ip_address(text), ())


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in NOT_PUBLIC.items() for text in texts])
def test_what_is_not_public(kind: str, text: str) -> None:
    assert not is_public(ip_address(text)), kind
    assert not may_be_called(ip_address(text), ()), kind


@pytest.mark.parametrize("text", ["10.20.0.0", "10.20.255.255", "::ffff:10.20.3.4", "64:ff9b::10.20.3.4", "fd12::1"])
def test_an_operator_may_name_networks_that_are_not_public(text: str) -> None:
    assert may_be_called(ip_address(text), INSIDE)
    assert is_within(ip_address(text), INSIDE)


@pytest.mark.parametrize("text", ["10.19.255.255", "10.21.0.0", "::ffff:10.21.0.0", "fc00::1", "127.0.0.1"])
def test_what_lies_beside_such_a_network_stays_refused(text: str) -> None:
    assert not may_be_called(ip_address(text), INSIDE)


def test_a_public_address_is_within_no_such_network() -> None:
    assert not is_within(ip_address("8.8.8.8"), INSIDE)


@pytest.mark.parametrize("text", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fd00:ec2::254%eth0"])
def test_who_hands_out_credentials_is_refused_even_within_such_a_network(text: str) -> None:
    assert is_within(ip_address(text), INSIDE)
    assert not may_be_called(ip_address(text), INSIDE)


@pytest.mark.parametrize(
    "text", ["0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "::ffff:224.0.0.1", "255.255.255.255", "ff02::1"]
)
def test_what_is_no_endpoint_is_refused_even_where_everything_is_named(text: str) -> None:
    everything = networks("0.0.0.0/0,::/0")
    assert may_be_called(ip_address("127.0.0.1"), everything)
    assert not may_be_called(ip_address(text), everything)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_what_it_is_by_itself(inner: IPv4Address) -> None:
    for outer in (f"::ffff:{inner}", f"64:ff9b::{inner}"):
        assert is_public(ip_address(outer)) == is_public(inner)
        assert may_be_called(ip_address(outer), INSIDE) == may_be_called(inner, INSIDE)


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_knows_as_special(address: IPv4Address | IPv6Address) -> None:
    if is_public(address) and (isinstance(address, IPv4Address) or address.ipv4_mapped is None):
        assert not address.is_private
        assert not address.is_link_local
        assert not address.is_multicast
        assert not (address.is_reserved and address not in networks("64:ff9b::/96")[0])


def test_networks_are_read_as_a_setting_has_them() -> None:
    assert networks("") == ()
    assert networks(" 10.0.0.0/8 ,,fd00::/8") == (*networks("10.0.0.0/8"), *networks("fd00::/8"))
    with pytest.raises(ValueError, match="host bits"):
        networks("10.0.0.1/8")
