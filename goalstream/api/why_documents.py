"""What comes out of the API about why: verdicts, and what happened to a contact."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.api.documents import GoalVersion
from goalstream.domain.achievements import SUPERSEDED
from goalstream.domain.goals import GoalType
from goalstream.domain.settlement import Verdict


class ExplainedEvent(BaseModel):
    """An event that fulfilled a goal's criteria, with the times by which it is judged."""

    model_config = ConfigDict(title="Event")

    event_id: str
    source: str
    event_type: str
    occurred_at: datetime
    occurred_at_source: Literal["event", "record"] = Field(description="whether the event told it, or its record")
    record_at: datetime = Field(description="when the record was written to Kafka")
    data: dict[str, Any] | None = Field(description="null where the contact was deleted")
    trace_id: str | None = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])


class PublishedMessage(BaseModel):
    """A message about an achievement, without the prefix of topics."""

    topic: str = Field(examples=["workflow.goal.achieved"])
    message_id: UUID


class AchievementState(BaseModel):
    """What became of the achievement that is recorded by an event."""

    achievement_id: UUID
    revision: int = Field(ge=1)
    recorded_at: datetime
    revoked_at: datetime | None
    revoked_reason: str | None
    should_exit_workflow: bool
    messages: list[PublishedMessage]


class Judgement(BaseModel):
    """The verdict on an event for one enrollment, and both values of the rule that gave it."""

    enrollment_id: UUID | None = Field(description="null where the contact was not enrolled in the workflow")
    verdict: str = Field(json_schema_extra={"enum": [*Verdict, SUPERSEDED]})
    wanted: dict[str, Any] | None = Field(examples=[{"before": "2026-03-17T12:00:00Z", "window": "P7D"}])
    got: dict[str, Any] | None = Field(examples=[{"occurred_at": "2026-03-18T09:30:00Z", "after": "PT189H"}])
    text: str = Field(description="both in a sentence")
    achievement: AchievementState | None = Field(description="where it is recorded by this event, holding or not")
    goal_version: int


class ExplainedVerdict(Judgement):
    """What the walk says of an event and one enrollment."""

    event: ExplainedEvent
    criteria: dict[str, str | bool] | None = Field(description="of that version of the goal, canonical")


class ExplanationPage(BaseModel):
    """A page of the verdicts on a contact's events, newest first; the contact is the one that its id stands for."""

    contact_id: UUID
    contact_ids: list[UUID] = Field(description="every id that stands for the contact, its own among them")
    goal: GoalVersion
    verdicts: list[ExplainedVerdict]
    next_cursor: str | None


class EnrollmentStarted(BaseModel):
    """The contact entered a workflow."""

    at: datetime
    kind: Literal["enrollment_started"]
    enrollment_id: UUID
    workflow_id: UUID
    trigger_event_id: str | None


class EnrollmentEnded(BaseModel):
    """The contact left a workflow."""

    at: datetime
    kind: Literal["enrollment_ended"]
    enrollment_id: UUID
    workflow_id: UUID
    reason: str | None = Field(examples=["goal_achieved", "contact_deleted"])


class EventJudged(Judgement):
    """The contact did what a goal asks for."""

    at: datetime
    kind: Literal["event"]
    event: ExplainedEvent
    workflow_id: UUID
    goal_id: UUID
    goal_type: GoalType


class Exited(BaseModel):
    """The workflow engine was told to let the contact out."""

    at: datetime
    kind: Literal["exited"]
    enrollment_id: UUID
    workflow_id: UUID
    goal_id: UUID | None


class ContactMerged(BaseModel):
    """An id of the contact stands for another one."""

    at: datetime
    kind: Literal["contact_merged"]
    contact_id: UUID
    into_contact_id: UUID


class ContactDeleted(BaseModel):
    """The contact, or what was known under one of its ids, was deleted."""

    at: datetime
    kind: Literal["contact_deleted"]
    contact_id: UUID


class TimelinePage(BaseModel):
    """A page of what happened to a contact, newest first; the contact is the one that its id stands for."""

    contact_id: UUID
    entries: list[EnrollmentStarted | EnrollmentEnded | EventJudged | Exited | ContactMerged | ContactDeleted]
    next_cursor: str | None
