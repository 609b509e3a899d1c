"""What the values of settings must be, beyond their types: each kind raises ValueError in words."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, SecretStr

from goalstream.tls import client_context, require_certificates

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
"""As PostgreSQL's own clients call them; only the last two look at the server's certificate."""

_is_key = re.compile(r"[A-Za-z0-9+/_-]{43}=", re.ASCII).fullmatch
"""Decoders skip what is no base64: of two keys with something else than a comma between them, they would take the first."""


def _require_long(secret: SecretStr) -> SecretStr:
    value = secret.get_secret_value()
    if len(value.encode()) < 32:
        raise ValueError("must have at least 32 bytes")
    if any(mark in value for mark in ("-----BEGIN", "ssh-", '"kty"')):
        raise ValueError("must be a secret, and not a key or certificate that others may know")
    return secret


def _require_http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must begin with https://, or http:// where nobody can come between")
    if parts.username is not None:
        raise ValueError("must not hold a password, since it is shown")
    return url


def _require_origins(origins: str) -> str:
    found = [origin.strip() for origin in origins.split(",") if origin.strip()]
    for origin in found:
        parts = urlsplit(origin)
        is_origin = parts.hostname and not parts.username and origin == f"{parts.scheme}://{parts.netloc}".lower()
        if parts.scheme not in ("https", "http") or not is_origin:
            raise ValueError(f"must be origins such as https://app.example.com, but has {origin!r}")
    return ",".join(found)


def _require_postgresql(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    options = dict(parse_qsl(url.get_secret_value().partition("?")[2]))
    if (mode := options.get("sslmode", "prefer")) not in SSL_MODES:
        raise ValueError(f"has sslmode={mode}, which is none of {', '.join(SSL_MODES)}")
    for file in filter(None, (options.get("sslrootcert"), certificate := options.get("sslcert"))):
        require_certificates(file)
    if certificate and (key := options.get("sslkey")):
        client_context(cert_file=certificate, key_file=key, key_password=options.get("sslpassword", ""))
    return url


def _require_keys(keys: SecretStr) -> SecretStr:
    if not all(_is_key(key.strip()) for key in keys.get_secret_value().split(",")):
        raise ValueError("must be 32 bytes in base64 (`openssl rand -base64 32`), or several such")
    return keys


def _require_networks(networks: str) -> str:
    try:
        for network in filter(None, networks.replace(" ", "").split(",")):
            ip_network(network)
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.20.0.0/16,…: {error}") from None
    return networks


def _require_authorities(file: str) -> str:
    if file:
        require_certificates(file)
    return file


def _require_addresses(servers: str) -> str:
    for server in servers.split(","):
        host, colon, port = server.strip().rpartition(":")
        if not (host and colon and port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError(f"must be host:port,host:port,… but has {server.strip()!r}")
    return servers


LongSecret = Annotated[SecretStr, AfterValidator(_require_long)]
HttpUrl = Annotated[str, AfterValidator(_require_http)]
Origins = Annotated[str, AfterValidator(_require_origins)]
PostgresqlUrl = Annotated[SecretStr, AfterValidator(_require_postgresql)]
EncryptionKeys = Annotated[SecretStr, AfterValidator(_require_keys)]
Networks = Annotated[str, AfterValidator(_require_networks)]
AuthoritiesFile = Annotated[str, AfterValidator(_require_authorities)]
BrokerAddresses = Annotated[str, AfterValidator(_require_addresses)]
