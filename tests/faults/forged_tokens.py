"""Tokens that prove nothing: each is one that somebody might try, and must be answered with 401, or 403 where only the scope is
missing.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import jwt

from tests.signers import ALGORITHMS, signer

TRUSTED = {algorithm: signer(algorithm, f"trusted {algorithm}") for algorithm in ALGORITHMS}
"""What the API is told to trust."""

FOREIGN = {algorithm: signer(algorithm, f"foreign {algorithm}") for algorithm in ALGORITHMS}

Claims = dict[str, Any]
Forger = Callable[[Claims, str, Random], str]
"""From claims that would be good and the right secret to the value of an Authorization header."""


def claims_of(account_id: str, now: int) -> Claims:
    """Of a token that is good for ten minutes; `now` in seconds since 1970."""
    return {
        "account_id": account_id,
        "sub": "mallory",
        "scope": "goals:read goals:write webhooks:read webhooks:write",
        "iat": now,
        "exp": now + 600,
    }


def signed(claims: Mapping[str, Any], secret: str, algorithm: str = "HS256") -> str:
    """The header with such a token."""
    return f"Bearer {jwt.encode(dict(claims), secret, algorithm=algorithm)}"


def _with(**changes: Any) -> Forger:
    """Signed as it should be, with claims that are not; None takes one away."""

    def forge(claims: Claims, secret: str, _: Random) -> str:
        changed = claims | changes
        return signed({name: said for name, said in changed.items() if said is not None}, secret)

    return forge


def _expired(claims: Claims, secret: str, chance: Random) -> str:
    return signed(claims | {"exp": claims["iat"] - chance.randint(30, 10_000_000)}, secret)


def _not_yet_valid(claims: Claims, secret: str, chance: Random) -> str:
    return signed(claims | {chance.choice(["nbf", "iat"]): claims["exp"]}, secret)


def _of_another_secret(claims: Claims, secret: str, chance: Random) -> str:
    return signed(claims, chance.choice([secret[:-1] + "x", secret.upper(), secret * 2, "0" * 64]))


def _of_another_algorithm(claims: Claims, secret: str, chance: Random) -> str:
    return signed(claims, secret, chance.choice(["HS384", "HS512"]))


def _of_a_key_of_its_own(claims: Claims, _: str, chance: Random) -> str:
    """With a name of ours or none, and the key at hand."""
    mine, ours = FOREIGN[chance.choice(ALGORITHMS)], TRUSTED[chance.choice(ALGORITHMS)]
    pointing = {"jwk": mine.jwk(), "jku": "https://evil.example/keys", "x5u": "https://evil.example/certificate"}
    named = {"kid": chance.choice([ours.key_id, mine.key_id, ...])}
    brought = dict(chance.sample(sorted(pointing.items()), chance.randint(0, len(pointing))))
    return f"Bearer {mine.sign(headers=named | brought, **claims)}"


def _with_a_public_key_as_the_secret(claims: Claims, _: str, chance: Random) -> str:
    ours = TRUSTED[chance.choice(ALGORITHMS)]
    material = chance.choice([ours.pem(), ours.der(), json.dumps(ours.jwk()).encode()])
    signed_part = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': ours.key_id})}.{_part(claims)}"
    code = hmac.new(material, signed_part.encode(), "sha256").digest()
    return f"Bearer {signed_part}.{base64.urlsafe_b64encode(code).decode().rstrip('=')}"


def _with_the_name_of_another_key(claims: Claims, _: str, chance: Random) -> str:
    one, other = chance.sample([TRUSTED[algorithm] for algorithm in ALGORITHMS], 2)
    return f"Bearer {one.sign(headers={'kid': other.key_id}, **claims)}"


def _expired_of_a_public_key(claims: Claims, _: str, chance: Random) -> str:
    return f"Bearer {TRUSTED[chance.choice(ALGORITHMS)].sign(**(claims | {'exp': claims['iat'] - 600}))}"


def _without_algorithm(claims: Claims, _: str, chance: Random) -> str:
    header = {"typ": "JWT", "alg": chance.choice(["none", "None", "NONE", "nOnE", "", None, "RS256", "ES256"])}
    return f"Bearer {_part(header)}.{_part(claims)}.{chance.choice(['', 'AAAA'])}"


def _with_the_signature_of_another(claims: Claims, secret: str, chance: Random) -> str:
    header, _, signature = signed(claims | {"sub": str(chance.random())}, secret).split(".")
    return f"{header}.{_part(claims)}.{signature}"


def _with_one_bit_changed(claims: Claims, secret: str, chance: Random) -> str:
    header, payload, signature = signed(claims, secret).split(".")
    flipped = bytearray(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return f"{header}.{payload}.{base64.urlsafe_b64encode(flipped).decode().rstrip('=')}"


def _cut_short(claims: Claims, secret: str, chance: Random) -> str:
    token = signed(claims, secret)
    return token[: chance.randrange(len("Bearer x"), len(token) - 2)]


def _no_token_at_all(_: Claims, __: str, chance: Random) -> str:
    return chance.choice(["", "Bearer", "Bearer null", "Basic YWRhOmFkYQ==", "Bearer ..", "Bearer a.b.c", "Token x"])


def _two_at_once(claims: Claims, secret: str, _: Random) -> str:
    return f"{signed(claims, secret)}, {signed(claims, secret)}"


FORGERS: Mapping[str, tuple[Forger, int]] = {
    "no token": (_no_token_at_all, 401),
    "another secret": (_of_another_secret, 401),
    "another algorithm": (_of_another_algorithm, 401),
    "no algorithm": (_without_algorithm, 401),
    "another's signature": (_with_the_signature_of_another, 401),
    "one bit changed": (_with_one_bit_changed, 401),
    "cut short": (_cut_short, 401),
    "two at once": (_two_at_once, 401),
    "expired": (_expired, 401),
    "not yet valid": (_not_yet_valid, 401),
    "no end": (_with(exp=None), 401),
    "an end in words": (_with(exp="never"), 401),
    "an end as text": (_with(exp="99999999999"), 401),
    "another audience": (_with(aud="somebody else"), 401),
    "a key of its own": (_of_a_key_of_its_own, 401),
    "a public key as the secret": (_with_a_public_key_as_the_secret, 401),
    "the name of another key": (_with_the_name_of_another_key, 401),
    "a public key, expired": (_expired_of_a_public_key, 401),
    "no subject": (_with(sub=None), 401),
    "no account": (_with(account_id=None), 401),
    "an account that is no UUID": (_with(account_id="%"), 401),
    "every account": (_with(account_id="*"), 401),
    "two accounts": (_with(account_id=["a", "b"]), 401),
    "no scope": (_with(scope=None), 403),
    "a scope of others": (_with(scope="operator goals goals:readwrite"), 403),
}
"""How they are made, and the only answer to them."""


def _part(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
