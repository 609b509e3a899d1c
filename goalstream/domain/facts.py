"""Facts: what is stored, each once, in whatever order it arrives. `record_at` is the smallest timestamp among its copies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from goalstream.domain.events import OccurredAtSource
from goalstream.domain.goals import GoalType, GoalVersion
from goalstream.domain.references import ReferenceChange
from goalstream.domain.values import value

GoalLogic = Literal["any", "all"]


@value
class Match:
    """An event fulfils the criteria of a goal version; says nothing yet about enrollments.

    `data` is the event's data as canonical JSON: the one text of a document, so that copies can be compared and a repeated
    message is the same to the byte. None once erased. `enrollment_id` names the only enrollment that it may count for,
    where somebody recorded it for one.
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
    enrollment_id: str | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes copies one."""
        return (
            self.account_id,
            self.contact_id,
            self.goal_id,
            self.occurred_at,
            self.source,
            self.event_id,
            self.enrollment_id or "",
        )


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


@value
class ContactMerge:
    """A contact's id stands for another contact from now on, whatever the time: both were the same person."""

    account_id: str
    contact_id: str
    into_contact_id: str
    occurred_at: datetime
    source: str
    event_id: str
    record_at: datetime


@value
class ContactDeletion:
    """A contact was deleted: nothing counts for it from `occurred_at` on, and its personal data is erased."""

    account_id: str
    contact_id: str
    occurred_at: datetime
    source: str
    event_id: str
    record_at: datetime


Fact = Match | EnrollmentStart | EnrollmentEnd | WorkflowStatus | ContactMerge | ContactDeletion | ReferenceChange


@value
class EnrollmentFacts:
    """Everything stored that the answer for one enrollment depends on.

    Starts may name several contacts and workflows; matches, goals and statuses may be those of all of them, and of every
    contact that merges connect with them. `kept` are the matches of valid achievements: where the match itself was cleaned
    away, they stay inputs, as they are. (A match that is stored with a later record than its achievement has is a copy that
    came after the cleaning.)
    """

    account_id: str
    enrollment_id: str
    starts: Sequence[EnrollmentStart]
    ends: Sequence[EnrollmentEnd] = ()
    matches: Sequence[Match] = ()
    kept: Sequence[Match] = ()
    goal_versions: Sequence[GoalVersion] = ()
    statuses: Sequence[WorkflowStatus] = ()
    contacts: Sequence[ContactMerge | ContactDeletion] = ()
