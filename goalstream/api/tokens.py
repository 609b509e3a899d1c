"""Bearer tokens: JWT signed with HS256, naming the account, the subject and what it may do until when."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

from goalstream.domain.texts import has_forbidden_character, is_uuid

ALGORITHM = "HS256"
LEEWAY_SECONDS = 5
"""For clocks that differ a little."""


class InvalidToken(Exception):
    """The token proves nothing; the text says why, without the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a subject within an account, and its scopes."""

    account_id: str
    subject: str
    scopes: frozenset[str]


def issue_token(secret: str, *, account_id: str, subject: str, scope: str, expires_in_seconds: int, now: int) -> str:
    """A signed token; `now` is in seconds since 1970."""
    claims = {
        "account_id": account_id,
        "sub": subject,
        "scope": scope,
        "iat": now,
        "exp": now + expires_in_seconds,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify_token(secret: str, token: str) -> Principal:
    """Who a token stands for. Raises InvalidToken; only HS256 is accepted, and `exp` must be there."""
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "sub", "account_id"], "verify_aud": False, "verify_iat": False},
        )
    except (jwt.InvalidTokenError, ValueError) as error:
        raise InvalidToken(str(error)) from None
    account_id, subject, scope = claims["account_id"], claims["sub"], claims.get("scope", "")
    if not (isinstance(account_id, str) and is_uuid(account_id)):
        raise InvalidToken("account_id is no UUID")
    if not subject or len(subject) > 255 or has_forbidden_character(subject):
        raise InvalidToken("sub is no usable text")
    if not isinstance(scope, str):
        raise InvalidToken("scope is no text")
    return Principal(account_id=account_id.lower(), subject=subject, scopes=frozenset(scope.split()))
