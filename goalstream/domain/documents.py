"""Documents: values of a Python program as JSON has them, and what a program gets that asks in-process."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, TypedDict
from uuid import UUID

from goalstream.domain.texts import has_forbidden_character
from goalstream.domain.times import format_time

MAX_DEPTH = 100
"""How deep arrays and objects may be nested, as in a record."""


class TriggerEvent(TypedDict):
    """The event by which a goal was achieved; `data` is null once erased, its numbers are int or Decimal."""

    event_id: str
    source: str
    event_type: str
    occurred_at: str
    data: dict[str, Any] | None


class AchievementMetadata(TypedDict):
    """Circumstances of an achievement."""

    late: bool
    also_matched: list[str]
    occurred_at_source: str
    clock_ahead: bool


class Progress(TypedDict):
    """How many of the goals that the logic asks for had been achieved."""

    met: int
    required: int


class GoalAchievement(TypedDict):
    """An achievement: the fields of `workflow.goal.achieved`, times as RFC 3339 in UTC."""

    achievement_id: str
    account_id: str
    workflow_id: str
    workflow_enrollment_id: str
    contact_id: str
    goal_config_id: str
    goal_version: int
    goal_type: str
    achieved_at: str
    recorded_at: str
    revision: int
    trigger_event: TriggerEvent
    metadata: AchievementMetadata
    progress: Progress
    should_exit_workflow: bool


def as_document(value: object, name: str) -> Any:
    """`value` as JSON has it: UUIDs and times become texts (without an offset: UTC), floats the decimal of their digits.

    `name` is what a problem calls it. Raises ValueError for what no record may hold: anything that JSON does not know, NaN
    and infinity, U+0000, lone surrogates, and more than 100 levels.
    """
    return _document(value, name, MAX_DEPTH)


def _document(value: object, name: str, depth: int) -> Any:
    match value:
        case Mapping() | list() | tuple() if depth == 0:
            raise ValueError(f"{name} is nested deeper than {MAX_DEPTH}")
        case Mapping():
            named = {_check_text(key, f"a key of {name}"): part for key, part in value.items()}
            return {key: _document(part, f"{name}.{key}", depth - 1) for key, part in named.items()}
        case list() | tuple():
            return [_document(part, f"{name}[{place}]", depth - 1) for place, part in enumerate(value)]
        case str():
            return _check_text(value, name)
        case float() | Decimal():
            return _number(value, name)
        case UUID():
            return str(value)
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return format_time(moment)
        case None | int():
            return value
        case _:
            raise ValueError(f"{name} is nothing that JSON knows: {type(value).__name__}")


def _check_text(text: object, name: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{name} is no string")
    if has_forbidden_character(text):
        raise ValueError(f"{name} holds U+0000 or a lone surrogate")
    return str.__str__(text)  # of an enumeration the value


def _number(value: float | Decimal, name: str) -> Decimal:
    """A float's digits are the fewest that stand for it: those that its author wrote."""
    if not isfinite(value):
        raise ValueError(f"{name} is no number: {value}")
    return value if isinstance(value, Decimal) else Decimal(float.__repr__(value))
