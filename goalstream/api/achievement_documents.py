"""What comes out of the API about workflows: their achievements, and how well they convert."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.domain.goals import GoalType


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
