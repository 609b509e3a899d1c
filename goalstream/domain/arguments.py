"""Arguments: what a program tells in-process, read and checked as a record's fields are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from goalstream.domain.documents import as_document
from goalstream.domain.evaluation import NO_GOAL
from goalstream.domain.facts import Match
from goalstream.domain.fields import text_field, time_field, uuid_field
from goalstream.domain.goal_history import GoalHistory
from goalstream.domain.goals import GoalType, GoalVersion
from goalstream.domain.settlement import Verdict
from goalstream.domain.values import value
from goalstream.errors import InvalidRecord, NotEligible

EVENT_TYPES = tuple(goal_type.event_type for goal_type in GoalType)

_ENVELOPE = frozenset({"event_id", "event_type", "source", "account_id", "occurred_at", "timestamp", "data"})


@value
class ToldEvent:
    """An event as a program tells it; `told_at` is None where it does not say when, `data` is canonical JSON."""

    contact_id: str
    source: str
    event_id: str
    event_type: str
    told_at: datetime | None
    data: str

    def occurred_at(self, clock: datetime) -> datetime:
        """When it happened; now, which is the time of its record, where that is not told or lies ahead."""
        return clock if self.told_at is None else min(self.told_at, clock)

    def match(self, version: GoalVersion, clock: datetime, *, enrollment_id: str | None = None) -> Match:
        """The fact that it fulfils a goal version which was in force when it happened."""
        occurred_at = self.occurred_at(clock)
        return Match(
            account_id=version.account_id,
            contact_id=self.contact_id,
            workflow_id=version.workflow_id,
            goal_id=version.goal_id,
            goal_version=version.version,
            goal_type=version.goal_type,
            source=self.source,
            event_id=self.event_id,
            event_type=self.event_type,
            occurred_at=occurred_at,
            occurred_at_source="event" if occurred_at == self.told_at else "record",
            clock_ahead=False,
            record_at=clock,
            data=self.data,
            enrollment_id=enrollment_id,
        )


@contextmanager
def value_errors() -> Iterator[None]:
    """What breaks the contract of a record is a ValueError where a program tells it."""
    try:
        yield
    except InvalidRecord as error:
        raise ValueError(error.detail) from None


def id_argument(given: object, name: str) -> str:
    """A UUID, or its text in either case; in lower case."""
    return uuid_field(as_document(given, name), name)


def event_id_argument(given: object, name: str) -> str | None:
    """A text of 1 to 255 characters; None where there is none."""
    text = text_field(as_document(given, name), name)
    if text == "":
        raise ValueError(f"{name} is empty")
    return text


def time_argument(given: object, name: str) -> datetime | None:
    """A datetime, or its text as in RFC 3339, without an offset UTC; None where there is none."""
    return time_field(as_document(given, name), name)


def object_argument(given: object, name: str) -> dict[str, Any]:
    """An object as JSON has it."""
    document = as_document(given, name)
    if not isinstance(document, dict):
        raise ValueError(f"{name} is no object")
    return document


def event_type_argument(given: object) -> str:
    """The type of an event that goals are about."""
    found = next((event_type for event_type in EVENT_TYPES if event_type == given), None)
    if found is None:
        raise ValueError(f"event_type is none of {', '.join(EVENT_TYPES)}: {given!r:.80}")
    return found


def goal_type_argument(given: object) -> GoalType:
    """A goal type, or its name."""
    found = next((goal_type for goal_type in GoalType if goal_type == given), None)
    if found is None:
        raise ValueError(f"goal_type is none of {', '.join(GoalType)}: {given!r:.80}")
    return found


def data_argument(trigger: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a trigger event: its `data`, else everything that it says beyond an envelope."""
    if trigger.get("data") is not None:
        return object_argument(trigger["data"], "trigger_event.data")
    return {name: part for name, part in trigger.items() if name not in _ENVELOPE}


def version_in_force(
    versions: Iterable[GoalVersion], goal_id: str, goal_type: GoalType, moment: datetime
) -> GoalVersion:
    """The version of a workflow's goal by which what happened at a moment is judged.

    Raises NotEligible: `no_goal` when the workflow has no such goal of this type, `goal_not_in_force` at that moment.
    """
    own = [version for version in versions if version.goal_id == goal_id and version.goal_type is goal_type]
    if not own:
        raise NotEligible(NO_GOAL)
    version = GoalHistory(own).at(goal_id, moment)
    if version is None or not version.can_be_achieved:
        raise NotEligible(Verdict.GOAL_NOT_IN_FORCE.value)
    return version
