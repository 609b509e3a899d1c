"""What comes out of the API, as the OpenAPI document describes it; the JSON itself is written from the rooms below."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.domain.goals import GoalType


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


class ActivationDocument(BaseModel):
    """A workflow whose goals name only what exists."""

    model_config = ConfigDict(title="ActivationCheck")

    valid: Literal[True]
    goals: int = Field(ge=0, description="how many goals are active")


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
