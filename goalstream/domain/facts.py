"""Facts: what is stored, each once, in whatever order it arrives. `record_at` is the smallest timestamp among its copies."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from goalstream.domain.events import OccurredAtSource
from goalstream.domain.goals import GoalType
from goalstream.domain.references import ReferenceChange
from goalstream.domain.values import value

GoalLogic = Literal["any", "all"]


@value
class Match:
    """An event fulfils the criteria of a goal version; says nothing yet about enrollments.

    `data` is the event's data as canonical JSON: the one text of a document, so that copies can be compared and a repeated
    message is the same to the byte. None once erased.
    """

    account_id: str
    contact_id: str
    workflow_id: str
    goal_id: str
    goal_version: int
    goal_type: GoalType
    source: str
    event_id: str
    event_type: str
    occurred_at: datetime
    occurred_at_source: OccurredAtSource
    clock_ahead: bool
    record_at: datetime
    data: str | None
    traceparent: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes copies one."""
        return self.account_id, self.contact_id, self.goal_id, self.occurred_at, self.source, self.event_id


@value
class EnrollmentStart:
    """An enrollment began, as one record tells it; records may contradict each other."""

    account_id: str
    enrollment_id: str
    workflow_id: str
    contact_id: str
    entered_at: datetime
    trigger_event_id: str | None
    source: str
    event_id: str
    record_at: datetime


@value
class EnrollmentEnd:
    """An enrollment ended, as one record tells it."""

    account_id: str
    enrollment_id: str
    ended_at: datetime
    reason: str | None
    source: str
    event_id: str
    record_at: datetime


@value
class WorkflowStatus:
    """A workflow's status from `occurred_at` on; without a goal logic the previous one stays."""

    account_id: str
    workflow_id: str
    name: str | None
    status: str
    goal_logic: GoalLogic | None
    occurred_at: datetime
    source: str
    event_id: str
    record_at: datetime


Fact = Match | EnrollmentStart | EnrollmentEnd | WorkflowStatus | ReferenceChange
