"""The OpenAPI document's parts: what comes out, and every way in which it can fail."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from goalstream.api.examples import EXAMPLES, problem_example
from goalstream.api.schemas import SCHEMAS
from goalstream.domain.goals import GoalType

Responses = dict[int | str, dict[str, Any]]


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


class ActivationDocument(BaseModel):
    """A workflow whose goals name only what exists."""

    model_config = ConfigDict(title="ActivationCheck")

    valid: Literal[True]
    goals: int = Field(ge=0, description="how many goals are active")


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


_HEADERS = {
    "ETag": "the goal's version, for If-Match and If-None-Match",
    "Effective-From": "from when the change holds, RFC 3339",
    "Location": "where the goal is",
    "Link": "pages: rel=first, rel=prev of one cut out by offset, and rel=next if there is one",
    "WWW-Authenticate": "how to authenticate",
    "Retry-After": "seconds",
    "X-Request-ID": "the request's own where it had one; it stands in the log as well",
    "Idempotency-Replayed": "true where this is the answer to an earlier request with the same Idempotency-Key",
    "Allow": "the methods of this path",
}
_HEADERS_OF_PROBLEMS = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    409: ("Retry-After",),
    412: ("ETag",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_PROBLEMS_OF_ALL = (401, 403, 429, 503)
"""What every operation may answer, whatever it does: who asks is not let in, asks too often, or cannot be told."""

_PROBLEMS_OF_BODIES = (408,)


def headers(*names: str) -> dict[str, Any]:
    """The description of an answer's headers."""
    return {"headers": {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}}


def links_to_goal() -> dict[str, Any]:
    """Where to go on with the goal that an answer holds."""
    goal = {"workflow_id": "$response.body#/workflow_id", "goal_id": "$response.body#/id"}
    with_etag = goal | {"If-Match": "$response.header.ETag"}
    return {
        "links": {
            "show": {"operationId": "getGoal", "parameters": goal},
            "change": {"operationId": "changeGoal", "parameters": with_etag},
            "delete": {"operationId": "deleteGoal", "parameters": with_etag},
            "versions": {"operationId": "listGoalVersions", "parameters": goal},
            "list": {"operationId": "listGoals", "parameters": {"workflow_id": goal["workflow_id"]}},
            "audit": {"operationId": "listAudit", "parameters": {"workflow_id": goal["workflow_id"]}},
        }
    }


def problems(*statuses: int) -> Responses:
    """The descriptions of problems that an operation can answer with, beside those of all operations."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema, "example": problem_example(status)}},
            **headers(*_HEADERS_OF_PROBLEMS.get(status, ())),
        }
        for status in sorted({*statuses, *_PROBLEMS_OF_ALL, *(_PROBLEMS_OF_BODIES if 413 in statuses else ())})
    }


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with every error as a Problem instead of its own validation error."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem | {"title": "Problem"}
    schemas |= SCHEMAS
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {}).update(headers("X-Request-ID")["headers"])
    schemas["GoalType"] = {"type": "string", "enum": [kind.value for kind in GoalType], "title": "GoalType"}
    return document
