"""Goals, facts and events with defaults for what a test is not about. Times are hours around one noon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from goalstream.domain.events import Appointment, Event, FormSubmission, Occurrence, Payment, StageChange, TagAdded
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
from goalstream.domain.goals import Criteria, GoalType, GoalVersion, TagCriteria
from goalstream.domain.settlement import Settlement, Verdict, settle

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATENESS = timedelta(hours=72)
ACCOUNT, OTHER_ACCOUNT = "a1", "a2"


def at(hours: float) -> datetime:
    """So many hours after noon."""
    return NOON + timedelta(hours=hours)


def goal(goal_id: str = "g1", version: int = 1, criteria: Criteria | None = None, **changes: Any) -> GoalVersion:
    """A tag goal in force since 100 hours before noon."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "workflow_id": "w1",
        "goal_id": goal_id,
        "version": version,
        "goal_type": GoalType.TAG_ADDED,
        "criteria": criteria or TagCriteria(tag_id="t"),
        "is_active": True,
        "is_deleted": False,
        "window": None,
        "measure_after_exit": timedelta(0),
        "effective_from": at(-100),
        "created_at": at(-100),
    }
    return GoalVersion(**(values | changes))


def match(hours: float = 0, event_id: str = "e1", goal_id: str = "g1", **changes: Any) -> Match:
    """A match of version 1, whose record came when it occurred."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "contact_id": "c1",
        "workflow_id": "w1",
        "goal_id": goal_id,
        "goal_version": 1,
        "goal_type": GoalType.TAG_ADDED,
        "source": "contact.tag.added",
        "event_id": event_id,
        "event_type": "contact.tag.added",
        "occurred_at": at(hours),
        "occurred_at_source": "event",
        "clock_ahead": False,
        "record_at": at(hours),
        "data": '{"contact_id":"c1"}',
    }
    return Match(**(values | changes))


def start(hours: float = -10, **changes: Any) -> EnrollmentStart:
    """The enrollment began, its record came at once."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "enrollment_id": "n1",
        "workflow_id": "w1",
        "contact_id": "c1",
        "entered_at": at(hours),
        "trigger_event_id": None,
        "source": "workflow.enrollment.started",
        "event_id": "s1",
        "record_at": at(hours),
    }
    return EnrollmentStart(**(values | changes))


def end(hours: float = 10, reason: str | None = None, **changes: Any) -> EnrollmentEnd:
    """The enrollment ended, its record came at once."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "enrollment_id": "n1",
        "ended_at": at(hours),
        "reason": reason,
        "source": "workflow.enrollment.ended",
        "event_id": "x1",
        "record_at": at(hours),
    }
    return EnrollmentEnd(**(values | changes))


def status(hours: float, text: str = "active", logic: GoalLogic | None = None, **changes: Any) -> WorkflowStatus:
    """The workflow's status from then on."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "workflow_id": "w1",
        "name": None,
        "status": text,
        "goal_logic": logic,
        "occurred_at": at(hours),
        "source": "workflow.status.changed",
        "event_id": f"st{hours}",
        "record_at": at(hours),
    }
    return WorkflowStatus(**(values | changes))


def merge(hours: float, contact_id: str, into_contact_id: str, **changes: Any) -> ContactMerge:
    """Contacts were merged, the record came at once."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "contact_id": contact_id,
        "into_contact_id": into_contact_id,
        "occurred_at": at(hours),
        "source": "contact.merged",
        "event_id": "m1",
        "record_at": at(hours),
    }
    return ContactMerge(**(values | changes))


def deletion(hours: float, contact_id: str, **changes: Any) -> ContactDeletion:
    """A contact was deleted, the record came at once."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "contact_id": contact_id,
        "occurred_at": at(hours),
        "source": "contact.deleted",
        "event_id": "d1",
        "record_at": at(hours),
    }
    return ContactDeletion(**(values | changes))


EVENT_TYPES = {
    TagAdded: GoalType.TAG_ADDED.event_type,
    Payment: GoalType.PURCHASE_MADE.event_type,
    Appointment: GoalType.APPOINTMENT_BOOKED.event_type,
    FormSubmission: GoalType.FORM_SUBMITTED.event_type,
    StageChange: GoalType.PIPELINE_STAGE_REACHED.event_type,
}


def event(occurrence: Occurrence | None = None, hours: float = 0, **changes: Any) -> Event:
    """An event of the occurrence's type; by default a tag was added."""
    occurrence = occurrence or TagAdded("t", None)
    event_type = EVENT_TYPES[type(occurrence)]
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "source": event_type,
        "event_id": "e1",
        "event_type": event_type,
        "contact_id": "c1",
        "occurred_at": at(hours),
        "occurred_at_source": "event",
        "record_at": at(hours),
        "occurrence": occurrence,
        "data": {},
    }
    return Event(**(values | changes))


def enrollment(*matches: Match, **changes: Any) -> EnrollmentFacts:
    """An enrollment of contact c1 in workflow w1, which has the goal g1."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "enrollment_id": "n1",
        "starts": [start()],
        "goal_versions": [goal()],
        "matches": matches,
    }
    return EnrollmentFacts(**(values | changes))


def settled(*matches: Match, **changes: Any) -> Settlement:
    """What holds of such an enrollment."""
    return settle(enrollment(*matches, **changes), allowed_lateness=LATENESS)


def verdict(one: Match, **changes: Any) -> Verdict:
    """The verdict on a single match."""
    ((_, found),) = settled(one, **changes).verdicts
    return found
