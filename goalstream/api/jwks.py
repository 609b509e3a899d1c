"""JWKS (RFC 7517): the public keys with which an identity provider's tokens are checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from goalstream.api.tokens import Key

MAX_KEYS = 100
LEAST_RSA_BITS = 2048

_ALGORITHMS = {("RSA", None): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
"""The one algorithm that a key is for, by its type and curve: so no token can choose another for it."""

PUBLIC_ALGORITHMS = frozenset(_ALGORITHMS.values())


class KeySet:
    """Public keys by algorithm and key id."""

    def __init__(self, keys: Mapping[tuple[str, str | None], Key], *, left_out: int = 0) -> None:
        self._keys = keys
        self.left_out = left_out
        """How many keys of the document are of no use here."""

    @property
    def names(self) -> frozenset[tuple[str, str | None]]:
        """(algorithm, key id) of each key."""
        return frozenset(self._keys)

    def find(self, algorithm: str, key_id: str | None) -> Key | None:
        """The key of this name for this algorithm; where a token names none, the only one for its algorithm."""
        if key_id is not None:
            return self._keys.get((algorithm, key_id))
        fitting = [key for key in self._keys.values() if key.algorithm == algorithm]
        return fitting[0] if len(fitting) == 1 else None


def parse_jwks(document: bytes) -> KeySet:
    """The keys for RS256, ES256 and EdDSA in a document. Raises ValueError where it is no JWKS.

    Left out are symmetric, private, weak and broken keys, and those for encryption or another algorithm. Of two with one name
    and one algorithm the first holds.
    """
    try:
        said = msgspec.json.decode(document)
        entries = said["keys"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        raise ValueError("it is no JWKS") from None
    if not isinstance(entries, list):
        raise ValueError("it is no JWKS")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"it has more than {MAX_KEYS} keys")
    keys: dict[tuple[str, str | None], Key] = {}
    left_out = 0
    for entry in entries:
        key = _key(entry) if isinstance(entry, dict) else None
        if key is None:
            left_out += 1
        else:
            keys.setdefault((key.algorithm, entry.get("kid")), key)
    return KeySet(keys, left_out=left_out)


def _key(entry: dict[str, Any]) -> Key | None:
    kind, curve, key_id = entry.get("kty"), entry.get("crv"), entry.get("kid")
    if not (isinstance(kind, str) and isinstance(curve, str | None) and isinstance(key_id, str | None)):
        return None
    algorithm = _ALGORITHMS.get((kind, curve))
    operations = entry.get("key_ops", ["verify"])
    if (
        algorithm is None
        or "d" in entry  # a private key: whoever publishes it has lost it
        or entry.get("alg", algorithm) != algorithm
        or entry.get("use", "sig") != "sig"
        or not (isinstance(operations, list) and "verify" in operations)
    ):
        return None
    try:
        material = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(material, RSAPublicKey) and material.key_size < LEAST_RSA_BITS:
        return None
    return Key(algorithm, material)
