"""Webhooks: the messages that they may be about, and the URLs that they may have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from goalstream.domain.addresses import Address, Network, is_within, may_be_called
from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC, GOAL_REVOKED_TOPIC

WEBHOOK_TOPICS = (GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC, GOAL_REVOKED_TOPIC)

TEST_TOPIC = "webhook.test"
"""Of messages that an account sends to see whether they arrive; no topic of Kafka."""

MAX_URL_LENGTH = 2_000

_MAX_NAME_LENGTH, _MAX_PORT = 253, 65_535

# Nothing that two readers of URLs could read differently: no blanks, no backslashes, no other alphabets.
_is_plain = re.compile(r"[!#-;=?-\[\]_a-z~]*").fullmatch
_PARTS = re.compile(r"(?P<scheme>https?)://(?P<authority>[^/?]*)(?P<rest>.*)").fullmatch
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]%]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?").fullmatch
_is_name = re.compile(r"(?:(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\.)*(?!-)[A-Za-z0-9_-]{1,63}(?<!-)").fullmatch
_is_numeric = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?").fullmatch


def url_problem(url: str, private_networks: Sequence[Network]) -> str | None:
    """What is wrong with the URL of a webhook; None where nothing is.

    Names are not resolved: to which address a message may go is decided again whenever one is sent. `private_networks` are
    those that an operator allows; without any, http:// and the names of this machine and network are refused.
    """
    if len(url) > MAX_URL_LENGTH:
        return f"must have at most {MAX_URL_LENGTH} characters"
    if not _is_plain(url):
        return "must be of plain characters: write a name as xn--…, and other characters of a path as %…"
    parts = _PARTS(url)
    if parts is None or (parts["scheme"] == "http" and not private_networks):
        return "must begin with https://"
    if "#" in url:
        return "must have no fragment"
    if "@" in parts["authority"]:
        return "must have no user name or password"
    authority = _AUTHORITY(parts["authority"])
    if authority is None or (authority["port"] is not None and not 0 < int(authority["port"]) <= _MAX_PORT):
        return "must have a host, and perhaps a port from 1 to 65535"
    return _host_problem(authority["host"], private_networks, is_encrypted=parts["scheme"] == "https")


def _host_problem(host: str, private_networks: Sequence[Network], *, is_encrypted: bool) -> str | None:
    if host.startswith("[") or _is_numeric(host):
        address = _address(host)
        if address is None:
            return "must have a host that is a name, or an address in its usual form"
        if not may_be_called(address, private_networks):
            return f"must not lead to {address}, which is not public"
        if not is_encrypted and not is_within(address, private_networks):
            return "must begin with https://"
        return None
    if not _is_name(host) or len(host) > _MAX_NAME_LENGTH:
        return "must have a host that is a name, or an address in its usual form"
    if not private_networks and ("." not in host or host.lower().endswith(".localhost")):
        return f"must not lead to {host}, which is not public"
    return None


def _address(host: str) -> Address | None:
    """The address that a host is, if it is written as everybody reads it: 127.1 and 0x7f000001 are not."""
    try:
        return IPv6Address(host[1:-1]) if host.startswith("[") else IPv4Address(host)
    except ValueError:
        return None
