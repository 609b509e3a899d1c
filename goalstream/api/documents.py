"""What comes out of the API, as the OpenAPI document describes it; the JSON itself is written from the rooms below."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.domain.achievements import SUPERSEDED
from goalstream.domain.goals import GoalType
from goalstream.domain.settlement import Verdict


class PrincipalDocument(BaseModel):
    """Who asks, and what they may do."""

    model_config = ConfigDict(title="Principal")

    account_id: UUID
    subject: str = Field(examples=["ada"])
    scopes: list[str] = Field(examples=[["goals:read", "goals:write"]])


class ProblemItem(BaseModel):
    """One thing that is wrong."""

    pointer: str = Field(
        description="JSON pointer (RFC 6901) into the body, or /query/…, /header/… and /goals/<goal id>/…"
    )
    message: str


class ProblemDocument(BaseModel):
    """RFC 9457 problem details; `message` is the first problem."""

    type: str = Field(examples=["urn:goalstream:problem:criteria_empty"])
    title: str
    status: int
    detail: str
    error: str = Field(examples=["criteria_empty"])
    message: str = Field(examples=["Goal criteria cannot be empty"])
    errors: list[ProblemItem]


class GoalDocument(BaseModel):
    """A goal in its newest version."""

    model_config = ConfigDict(title="Goal")

    id: UUID
    workflow_id: UUID
    account_id: UUID
    goal_type: GoalType
    criteria: dict[str, str | bool] = Field(description="canonical: without nulls, amounts as decimal strings")
    is_active: bool
    version: int = Field(ge=1)
    window: str | None = Field(description="ISO 8601 duration", examples=["P7D"])
    measure_after_exit: str | None = Field(description="ISO 8601 duration", examples=["PT36H"])
    effective_from: datetime = Field(description="from when this version is in force")
    created_at: datetime
    updated_at: datetime
    created_by: str
    updated_by: str


class GoalList(BaseModel):
    """A page of a workflow's goals."""

    goals: list[GoalDocument]
    total: int
    offset: int
    limit: int
    next_cursor: str | None


class GoalVersion(GoalDocument):
    """A goal in one of its versions."""

    model_config = ConfigDict(title="GoalVersion")

    is_deleted: bool = Field(description="true of the last version of a deleted goal")


class GoalVersions(BaseModel):
    """A page of a goal's versions, newest first."""

    versions: list[GoalVersion]
    next_cursor: str | None


class AuditEntry(BaseModel):
    """What was changed or decided. `before` and `after` are goals, or what an achievement was."""

    at: datetime
    actor: str = Field(description="a token's subject, an API key, or goalstream", examples=["ada"])
    action: str = Field(examples=["goal_created", "goal_changed", "goal_deleted", "achieved", "moved", "revoked"])
    goal_id: UUID | None
    version: int | None = Field(description="of the goal")
    enrollment_id: UUID | None
    contact_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    effective_from: datetime | None


class AuditPage(BaseModel):
    """A page of a workflow's audit, newest first."""

    entries: list[AuditEntry]
    next_cursor: str | None


class WorkflowDocument(BaseModel):
    """A workflow, as far as it is known."""

    model_config = ConfigDict(title="Workflow")

    workflow_id: UUID
    name: str | None
    status: str | None = Field(examples=["active"])
    goal_logic: Literal["any", "all"]
    goals: int = Field(ge=0, description="that are not deleted")
    enrolled: int = Field(ge=0, description="enrollments with a known start")


class WorkflowPage(BaseModel):
    """A page of an account's workflows, by id."""

    workflows: list[WorkflowDocument]
    next_cursor: str | None


class TriggerEvent(BaseModel):
    """The event that achieved a goal."""

    event_id: str
    source: str
    event_type: str
    occurred_at: datetime
    data: dict[str, Any] | None = Field(description="null where the contact was deleted")


class AchievementMetadata(BaseModel):
    """How it came about."""

    late: bool
    also_matched: list[UUID]
    occurred_at_source: str
    clock_ahead: bool


class AchievementProgress(BaseModel):
    """Goals of the workflow that were met, of those that its logic requires."""

    met: int
    required: int


class AchievementDocument(BaseModel):
    """An achievement as `workflow.goal.achieved` tells it."""

    model_config = ConfigDict(title="Achievement")

    achievement_id: UUID
    account_id: UUID
    workflow_id: UUID
    workflow_enrollment_id: UUID
    contact_id: UUID
    goal_config_id: UUID
    goal_version: int
    goal_type: GoalType
    achieved_at: datetime
    recorded_at: datetime
    revision: int = Field(ge=1)
    trigger_event: TriggerEvent
    metadata: AchievementMetadata
    progress: AchievementProgress
    should_exit_workflow: bool
    revoked_at: datetime | None
    revoked_reason: str | None


class AchievementPage(BaseModel):
    """A page of achievements, newest first."""

    achievements: list[AchievementDocument]
    next_cursor: str | None


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


class ActivationDocument(BaseModel):
    """A workflow whose goals name only what exists."""

    model_config = ConfigDict(title="ActivationCheck")

    valid: Literal[True]
    goals: int = Field(ge=0, description="how many goals are active")


class DeadLetterDocument(BaseModel):
    """A record that could not be processed: where it lay, why it was set aside, and what became of it."""

    model_config = ConfigDict(title="DeadLetter")

    id: str = Field(description="where it lies on the dead-letter topic", examples=["2:17"])
    topic: str = Field(description="that the record came from")
    partition: int
    offset: int
    reason: str = Field(examples=["bad_time"])
    error: str = Field(description="a sentence about this very record; in a list its first line")
    attempts: int = Field(ge=1, description="how often it was tried, and failed")
    at: datetime | None = Field(description="when it was set aside; null where Kafka does not know")
    done: Literal["redriven", "dropped"] | None = Field(description="null while it is open")


class DeadLetterPage(BaseModel):
    """A page of dead letters, newest first."""

    dead_letters: list[DeadLetterDocument]
    by_reason: dict[str, int] = Field(
        description="how many there are for each reason on all pages, whatever reason was asked for; the most frequent first"
    )
    unread: int = Field(ge=0, description="older records of the topic that were not looked at")
    next_cursor: str | None


class Bytes(BaseModel):
    """What is no UTF-8."""

    base64: str


class HeaderDocument(BaseModel):
    """A header of the original record."""

    name: str
    value: str | Bytes | None


class DeadLetterInFull(DeadLetterDocument):
    """A dead letter with all of the record that was set aside."""

    model_config = ConfigDict(title="DeadLetterInFull")

    done_at: datetime | None
    timestamp: datetime | None = Field(description="of the original record")
    key: str | Bytes | None
    value: str | Bytes | None
    headers: list[HeaderDocument]


class RefusedLetter(BaseModel):
    """A dead letter that stays as it is."""

    id: str
    message: str


class RedrivenLetters(BaseModel):
    """What was sent again, the oldest first, or would be in a dry run."""

    redriven: int = Field(ge=0)
    ids: list[str]
    refused: list[RefusedLetter]
    remaining: int = Field(ge=0, description="that are meant as well, and were too many at once: ask again")
    dry_run: bool


class DroppedLetters(BaseModel):
    """What was marked as done with, the oldest first, or would be in a dry run."""

    dropped: int = Field(ge=0)
    ids: list[str]
    remaining: int = Field(ge=0, description="that are meant as well, and were too many at once: ask again")
    dry_run: bool


class Conversion(BaseModel):
    """Of the enrollments counted, how many achieved something."""

    achieved: int
    conversion_rate: float = Field(description="percent, one decimal", ge=0, le=100)


class SeriesPoint(BaseModel):
    """The enrollments that entered in one hour, day or week."""

    start: datetime
    total_enrolled: int
    goals_achieved: int
    conversion_rate: float


class Statistics(BaseModel):
    """How well a workflow's goals convert; hours have one decimal."""

    workflow_id: UUID
    total_enrolled: int
    goals_achieved: int
    conversion_rate: float = Field(description="percent, one decimal", ge=0, le=100)
    avg_time_to_goal_hours: float | None
    median_time_to_goal_hours: float | None
    p90_time_to_goal_hours: float | None
    fastest_time_to_goal_hours: float | None
    slowest_time_to_goal_hours: float | None
    by_goal_type: dict[GoalType, Conversion]
    by_goal: dict[UUID, Conversion]
    computed_at: datetime
    as_of: datetime
    series: list[SeriesPoint] | None = None


class EventAnswer(BaseModel):
    """What became of an event."""

    index: int = Field(description="its place in the body, from 0")
    event_id: str | None
    topic: str | None = Field(examples=["payment.completed"])
    status: Literal["accepted", "refused"]
    errors: list[ProblemItem] = Field(description="pointers into the event")


class AcceptedEvents(BaseModel):
    """What became of events; accepted ones are kept by Kafka."""

    accepted: int
    refused: int
    events: list[EventAnswer]
