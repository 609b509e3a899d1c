"""The circumstances of a match: the facts that are in time for it, and what holds of them where they contradict each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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

    def __init__(self, facts: EnrollmentFacts) -> None:
        self.start = holding_start(facts.starts)
        self.end = holding_end(facts.ends)
        self.contacts = Contacts(facts.contacts)
        self._statuses = sorted(facts.statuses, key=_status_order) if facts.statuses else ()

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
        ended_at = None if self.end is None else self.end.ended_at
        deleted_at = None if self.start is None else self.contacts.deleted_at(self.start.contact_id)
        if ended_at is None or deleted_at is None:
            return ended_at or deleted_at
        return min(ended_at, deleted_at)


class CircumstancesOf:
    """Chooses the facts that are in time for a match: those whose record is at most the allowed lateness later."""

    def __init__(self, facts: EnrollmentFacts, *, allowed_lateness: timedelta) -> None:
        self._facts = facts
        self._allowed_lateness = allowed_lateness
        dated = [*facts.starts, *facts.ends, *facts.statuses, *facts.contacts]
        self._last_record_at = max([fact.record_at for fact in dated], default=_LONG_AGO)
        self.all = Circumstances(facts)
        """What holds of all facts, in time or not."""

    def __call__(self, match: Match) -> Circumstances:
        """Nearly always all facts are in time, and then they are sorted out only once."""
        latest = match.record_at + self._allowed_lateness
        return self.all if self._last_record_at <= latest else Circumstances(_recorded_by(latest, self._facts))


def _recorded_by(latest: datetime, facts: EnrollmentFacts) -> EnrollmentFacts:
    return replace(
        facts,
        starts=_in_time(facts.starts, latest),
        ends=_in_time(facts.ends, latest),
        statuses=_in_time(facts.statuses, latest),
        contacts=_in_time(facts.contacts, latest),
    )


def _in_time(facts: Sequence[_Fact], latest: datetime) -> Sequence[_Fact]:
    return [fact for fact in facts if fact.record_at <= latest]


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def last_status(statuses: Sequence[WorkflowStatus]) -> WorkflowStatus | None:
    """The last of a workflow's statuses, with the name and the goal logic that were told last."""
    ordered = sorted(statuses, key=_status_order)
    if not ordered:
        return None
    names = [status.name for status in ordered if status.name is not None]
    logics = [status.goal_logic for status in ordered if status.goal_logic is not None]
    return replace(ordered[-1], name=names[-1] if names else None, goal_logic=logics[-1] if logics else None)


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
