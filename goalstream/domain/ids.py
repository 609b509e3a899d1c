"""Deterministic ids: the same fact gives the same id on every worker and in every replay."""

from __future__ import annotations

from functools import lru_cache
from uuid import NAMESPACE_URL, uuid5


@lru_cache(maxsize=4096)
def achievement_id(account_id: str, enrollment_id: str, goal_id: str) -> str:
    """The id of the achievement of a goal by an enrollment; remembered, since a row and its messages all ask for it."""
    return str(uuid5(NAMESPACE_URL, f"goalstream:achievement:{account_id}:{enrollment_id}:{goal_id}"))


def achievement_message_id(topic: str, achievement_id: str, revision: int) -> str:
    """The `ce_id` of an achieved or revoked message."""
    return str(uuid5(NAMESPACE_URL, f"goalstream:{topic}:{achievement_id}:{revision}"))


def exit_message_id(account_id: str, enrollment_id: str) -> str:
    """The `ce_id` of the one exit of an enrollment."""
    return str(uuid5(NAMESPACE_URL, f"goalstream:workflow.exit.goal:{account_id}:{enrollment_id}"))


def goal_message_id(goal_id: str, version: int) -> str:
    """The `ce_id` of the message that announces a goal version."""
    return str(uuid5(NAMESPACE_URL, f"goalstream:goal:{goal_id}:{version}"))
