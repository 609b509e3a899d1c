"""Key pairs such as an identity provider has: they sign tokens, and show their public half as a JWK."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
ALGORITHMS = ("RS256", "ES256", "EdDSA")


@dataclass(frozen=True)
class Signer:
    """One key pair with its name."""

    algorithm: str
    key_id: str
    private: Any

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """The public key; `...` takes a member away."""
        public = self.private.public_key()
        writer: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[self.algorithm]
        document = writer.to_jwk(public, as_dict=True) | {"kid": self.key_id, "use": "sig", "alg": self.algorithm}
        document.pop("key_ops", None)
        return {name: said for name, said in (document | changes).items() if said is not ...}

    def pem(self) -> bytes:
        """The public key as it is often passed around."""
        written: bytes = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return written

    def der(self) -> bytes:
        """The same in its shortest form."""
        written: bytes = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return written

    def sign(self, *, headers: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A token that is good for a day, with these claims and headers changed; `...` takes one away."""
        head = {"kid": self.key_id} | dict(headers or {})
        return jwt.encode(
            claims(**changes),
            self.private,
            algorithm=self.algorithm,
            headers={name: said for name, said in head.items() if said is not ...},
        )


@lru_cache
def signer(algorithm: str, key_id: str) -> Signer:
    """The key pair of this name, the same for the whole run: making one takes a while."""
    private: Any
    match algorithm:
        case "RS256":
            private = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case _:
            private = ed25519.Ed25519PrivateKey.generate()
    return Signer(algorithm, key_id, private)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are good for a day; `...` takes one away."""
    now = int(time.time())
    usual = {"account_id": ACCOUNT, "sub": "ada", "scope": "goals:read goals:write", "iat": now, "exp": now + 86_400}
    return {name: said for name, said in (usual | changes).items() if said is not ...}


def jwks(*entries: Signer | Mapping[str, Any]) -> bytes:
    """The document with these keys."""
    return json.dumps({"keys": [one.jwk() if isinstance(one, Signer) else one for one in entries]}).encode()
