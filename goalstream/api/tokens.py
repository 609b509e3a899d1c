"""Bearer tokens: JWT that name the account, the subject and what it may do until when; and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jwt

from goalstream.domain.texts import has_forbidden_character, is_uuid

SHARED_ALGORITHM = "HS256"
"""Of tokens that are signed with the shared secret."""


class InvalidToken(Exception):
    """The token proves nothing; the text says why, without the token."""


class Key(NamedTuple):
    """What a signature is checked with: the one algorithm that the key is for, and the secret or the public key."""

    algorithm: str
    material: Any

    def __repr__(self) -> str:
        return f"Key({self.algorithm})"


class Signature(NamedTuple):
    """What a token says about its signature, which is no more than a claim: its algorithm, and which key it is."""

    algorithm: str
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a token must keep beside a good signature.

    `leeway_seconds` is for clocks that differ. `audience` and `issuer` must be the token's, where they are set; a token for
    an audience is for nobody else (RFC 7519, 4.1.3), and so refused where none is set.
    """

    leeway_seconds: int = 30
    audience: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a subject within an account, and its scopes."""

    account_id: str
    subject: str
    scopes: frozenset[str]


def issue_token(
    secret: str,
    *,
    account_id: str,
    subject: str,
    scope: str,
    expires_in_seconds: int,
    now: int,
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """A token signed with the shared secret; `now` is in seconds since 1970."""
    claims = {
        "account_id": account_id,
        "sub": subject,
        "scope": scope,
        "iat": now,
        "exp": now + expires_in_seconds,
    }
    named = {name: said for name, said in (("aud", audience), ("iss", issuer)) if said is not None}
    return jwt.encode(claims | named, secret, algorithm=SHARED_ALGORITHM)


def read_signature(token: str) -> Signature:
    """How a token says that it is signed. Raises InvalidToken.

    Keys that it brings along or points to (`jwk`, `jku`, `x5c`, `x5u`) are never looked at.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise InvalidToken(str(error)) from None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise InvalidToken("it names no algorithm")
    return Signature(algorithm, header.get("kid"))


def verify_token(token: str, key: Key, rules: Rules) -> Principal:
    """Who a token stands for. Raises InvalidToken; only the key's own algorithm is accepted, and `exp` must be there."""
    try:
        claims = jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            leeway=rules.leeway_seconds,
            audience=rules.audience,
            issuer=rules.issuer,
            options={"require": ["exp", "sub", "account_id"]},
        )
    except jwt.InvalidAudienceError:
        raise InvalidToken("it is for another audience") from None
    except (jwt.InvalidTokenError, ValueError) as error:
        raise InvalidToken(str(error)) from None
    return _principal(claims)


def _principal(claims: dict[str, Any]) -> Principal:
    account_id, subject, scope = claims["account_id"], claims["sub"], claims.get("scope", "")
    for name in ("exp", "nbf", "iat"):  # PyJWT takes numbers written as text
        if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
            raise InvalidToken(f"{name} is no number")
    if not (isinstance(account_id, str) and is_uuid(account_id)):
        raise InvalidToken("account_id is no UUID")
    if not subject or len(subject) > 255 or has_forbidden_character(subject):
        raise InvalidToken("sub is no usable text")
    if not isinstance(scope, str):
        raise InvalidToken("scope is no text")
    return Principal(account_id=account_id.lower(), subject=subject, scopes=frozenset(scope.split()))
