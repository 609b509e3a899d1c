"""Deterministic ids: the same fact gives the same id on every worker and in every replay."""

from __future__ import annotations

from hashlib import sha1
from uuid import NAMESPACE_URL

_NAMESPACE = sha1(NAMESPACE_URL.bytes, usedforsecurity=False)

_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""The variant of RFC 9562 in place of a hexadecimal digit's first two bits."""


def achievement_id(account_id: str, enrollment_id: str, goal_id: str) -> str:
    """The id of the achievement of a goal by an enrollment."""
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


def hook_event_id(hook_id: str, call_id: str, position: int) -> str:
    """The id of an event that a call of a hook becomes: the same whenever the call is repeated."""
    return _uuid5(f"goalstream:hook:{hook_id}:{call_id}:{position}")


def _uuid5(name: str) -> str:
    """`str(uuid5(NAMESPACE_URL, name))`, at a quarter of its cost: three are needed for every achievement."""
    digest = _NAMESPACE.copy()
    digest.update(name.encode())
    text = digest.hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:32]}"
