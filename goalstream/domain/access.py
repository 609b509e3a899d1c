"""What somebody may do, and the form of API keys: `gs_<account>_<key id>_<secret>`.

A key names its account and itself, so that PostgreSQL is asked for one row of one account before anything is compared. Of the
text only a digest is ever stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from uuid import UUID

API_KEY_PREFIX = "gs_"

SECRET_BYTES = 32
"""Of randomness in a key: nobody guesses 256 bits, so one round of SHA-256 keeps them as well as a slow hash would."""

_API_KEY = re.compile(r"gs_([0-9a-f]{32})_([0-9a-f]{32})_[A-Za-z0-9_-]{43}").fullmatch


class Scope(StrEnum):
    """What a token or key may do."""

    GOALS_READ = "goals:read"
    GOALS_WRITE = "goals:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as somebody holds it; `text` is what must stay secret."""

    account_id: str
    key_id: str
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """The 32 bytes that stand for the key; they say nothing about it."""
        return sha256(self.text.encode()).digest()


def make_api_key(account_id: str, key_id: str, secret: str) -> ApiKey:
    """The key of these two UUIDs; `secret`: 32 random bytes in unpadded base64url."""
    text = f"{API_KEY_PREFIX}{UUID(account_id).hex}_{UUID(key_id).hex}_{secret}"
    return ApiKey(account_id=account_id, key_id=key_id, text=text)


def parse_api_key(text: str) -> ApiKey | None:
    """The key that a text has the form of; None where it has none."""
    found = _API_KEY(text)
    if found is None:
        return None
    account, key = found.groups()
    return ApiKey(account_id=str(UUID(account)), key_id=str(UUID(key)), text=text)
