"""The circumstances of a match: the facts that are in time for it, and what holds of them where they contradict each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TypeVar

from goalstream.domain.contacts import Contacts
from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentFacts,
    EnrollmentStart,
    GoalLogic,
    Match,
    WorkflowStatus,
)
from goalstream.domain.values import value

GOAL_ACHIEVED = "goal_achieved"
"""The reason with which the workflow engine ends an enrollment after our exit."""

_Fact = TypeVar("_Fact", EnrollmentStart, EnrollmentEnd, WorkflowStatus, ContactMerge | ContactDeletion)


@value
class Workflow:
    """A workflow's state at one moment."""

    is_active: bool = True
    logic: GoalLogic = "any"


class Circumstances:
    """What holds, of all the facts given: which start, which end, which statuses, and who the contacts are."""

    def __init__(self, facts: EnrollmentFacts, *, recorded_by: datetime | None = None) -> None:
        """Of all facts, or of those alone whose record is not later than a moment."""
        self.start = holding_start(_told(facts.starts, recorded_by))
        self.end = holding_end(_told(facts.ends, recorded_by))
        self.contacts = Contacts(_told(facts.contacts, recorded_by))
        statuses = _told(facts.statuses, recorded_by)
        self._statuses = statuses if len(statuses) < 2 else sorted(statuses, key=_status_order)

    def workflow(self, workflow_id: str, moment: datetime) -> Workflow:
        """A workflow after every status up to a moment; active with logic `any` before the first."""
        workflow = Workflow()
        for status in self._statuses:
            if status.workflow_id == workflow_id and status.occurred_at <= moment:
                is_active = status.status == "active"
                workflow = Workflow(is_active=is_active, logic=status.goal_logic or workflow.logic)
        return workflow

    @property
    def ended_at(self) -> datetime | None:
        """When the enrollment ended: at the end that holds, or when who was enrolled was deleted before it."""
        found = [] if self.end is None else [self.end.ended_at]
        if self.start is not None and (deleted_at := self.contacts.deleted_at(self.start.contact_id)) is not None:
            found.append(deleted_at)
        return min(found, default=None)


def _told(facts: Sequence[_Fact], recorded_by: datetime | None) -> Sequence[_Fact]:
    return facts if recorded_by is None else [fact for fact in facts if fact.record_at <= recorded_by]


class CircumstancesOf:
    """Chooses the facts that are in time for a match: those whose record is at most the allowed lateness later."""

    def __init__(self, facts: EnrollmentFacts, *, allowed_lateness: timedelta) -> None:
        self._facts = facts
        self._allowed_lateness = allowed_lateness
        dated = chain(facts.starts, facts.ends, facts.statuses, facts.contacts)
        self._last_record_at = max((fact.record_at for fact in dated), default=_LONG_AGO)
        self.all = Circumstances(facts)
        """What holds of all facts, in time or not."""

    def __call__(self, match: Match) -> Circumstances:
        """Nearly always all facts are in time, and then they are sorted out only once."""
        latest = match.record_at + self._allowed_lateness
        return self.all if self._last_record_at <= latest else Circumstances(self._facts, recorded_by=latest)


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def holding_start(starts: Sequence[EnrollmentStart]) -> EnrollmentStart | None:
    """Which of several starts holds: the smallest (`entered_at`, event id); remaining ties by source and payload."""
    return starts[0] if len(starts) == 1 else min(starts, key=_start_order, default=None)


def holding_end(ends: Sequence[EnrollmentEnd]) -> EnrollmentEnd | None:
    """Which of several ends holds: the smallest `ended_at`; at equal times the echo of our own exit."""
    return ends[0] if len(ends) == 1 else min(ends, key=_end_order, default=None)


def _start_order(start: EnrollmentStart) -> tuple[object, ...]:
    payload = _canonical(
        contact_id=start.contact_id, trigger_event_id=start.trigger_event_id, workflow_id=start.workflow_id
    )
    return start.entered_at, start.event_id, start.source, payload


def _end_order(end: EnrollmentEnd) -> tuple[object, ...]:
    return end.ended_at, end.reason != GOAL_ACHIEVED, end.event_id, end.source, _canonical(reason=end.reason)


def _status_order(status: WorkflowStatus) -> tuple[object, ...]:
    payload = _canonical(goal_logic=status.goal_logic, name=status.name, status=status.status)
    return status.occurred_at, status.event_id, status.source, payload


def _canonical(**payload: str | None) -> str:
    """What a fact says, as the one JSON text of it: by it the last ties are decided, by code point."""
    said = {name: text for name, text in payload.items() if text is not None}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
