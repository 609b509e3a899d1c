"""Deterministic ids: the same fact gives the same id on every worker and in every replay."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from uuid import NAMESPACE_URL


@lru_cache(maxsize=4096)
def achievement_id(account_id: str, enrollment_id: str, goal_id: str) -> str:
    """The id of the achievement of a goal by an enrollment; remembered, since a row and its messages all ask for it."""
    return _uuid5(f"goalstream:achievement:{account_id}:{enrollment_id}:{goal_id}")


def achievement_message_id(topic: str, achievement_id: str, revision: int) -> str:
    """The `ce_id` of an achieved or revoked message."""
    return _uuid5(f"goalstream:{topic}:{achievement_id}:{revision}")


def exit_message_id(account_id: str, enrollment_id: str) -> str:
    """The `ce_id` of the one exit of an enrollment."""
    return _uuid5(f"goalstream:workflow.exit.goal:{account_id}:{enrollment_id}")


def goal_message_id(goal_id: str, version: int) -> str:
    """The `ce_id` of the message that announces a goal version."""
    return _uuid5(f"goalstream:goal:{goal_id}:{version}")


def _uuid5(name: str) -> str:
    """`str(uuid5(NAMESPACE_URL, name))`, at less than half its cost: three are needed for every achievement."""
    digest = bytearray(sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).digest())
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # the variant of RFC 9562
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"
