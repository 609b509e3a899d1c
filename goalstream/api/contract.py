"""The OpenAPI document's parts: what comes out, and every way in which it can fail."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

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
    "Link": "the next page, rel=next",
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


def problems(*statuses: int) -> Responses:
    """The descriptions of problems that an operation can answer with, beside those of all operations."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema}},
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
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {}).update(headers("X-Request-ID")["headers"])
    schemas["GoalType"] = {"type": "string", "enum": [kind.value for kind in GoalType], "title": "GoalType"}
    return document
