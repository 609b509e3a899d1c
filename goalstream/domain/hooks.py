"""Hooks: their addresses, by which each names its account and itself, and what tells their calls apart."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from uuid import UUID

from goalstream.domain.signing import ID, Scheme
from goalstream.domain.texts import MAX_TEXT_LENGTH, has_forbidden_character

_is_source = re.compile(r"[A-Za-z0-9_-]{43}").fullmatch


def hook_source(account_id: str, hook_id: str) -> str:
    """What stands in the address of a hook: 43 characters."""
    return urlsafe_b64encode(UUID(account_id).bytes + UUID(hook_id).bytes).rstrip(b"=").decode()


def parse_source(text: str) -> tuple[str, str] | None:
    """The account and the hook that an address names; None where it is none of a hook."""
    if _is_source(text) is None:
        return None
    ids = urlsafe_b64decode(f"{text}=")
    found = str(UUID(bytes=ids[:16])), str(UUID(bytes=ids[16:]))
    return found if hook_source(*found) == text else None


def call_id_of(scheme: Scheme, headers: Mapping[str, str], told: str | None, body: bytes) -> str:
    """What a call is known by when its sender repeats it: the id in its header, else what its body tells, else a digest of it.

    Of an id that is too long, or that PostgreSQL could not store, the digest stands for it.
    """
    text = headers[ID] if scheme is Scheme.STANDARD else told
    if text is None:
        return sha256(body).hexdigest()
    is_usable = 0 < len(text) <= MAX_TEXT_LENGTH and not has_forbidden_character(text)
    return text if is_usable else sha256(text.encode(errors="replace")).hexdigest()
