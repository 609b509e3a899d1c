"""The OpenAPI document's parts: headers, links, every way in which an operation can fail, and all of it put together."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from goalstream.api.documents import ProblemDocument
from goalstream.api.examples import EXAMPLES, problem_example
from goalstream.api.hook_documents import HOOK_EXAMPLES
from goalstream.api.hook_schemas import HOOK_SCHEMAS
from goalstream.api.schemas import SCHEMAS
from goalstream.api.webhook_bodies import WEBHOOK_SCHEMAS
from goalstream.api.webhook_documents import WEBHOOK_EXAMPLES
from goalstream.domain.goals import GoalType

Responses = dict[int | str, dict[str, Any]]


_HEADERS = {
    "ETag": "the version, for If-Match and If-None-Match",
    "Effective-From": "from when the change holds, RFC 3339",
    "Location": "where it is",
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

_PROBLEMS_OF_PUBLIC = (401, 429, 503)
"""The same where a signature stands for a token."""

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


def links_to_hook() -> dict[str, Any]:
    """Where to go on with the hook that an answer holds."""
    hook = {"hook_id": "$response.body#/id"}
    with_etag = hook | {"If-Match": "$response.header.ETag"}
    return {
        "links": {
            "show": {"operationId": "getHook", "parameters": hook},
            "change": {"operationId": "changeHook", "parameters": with_etag},
            "delete": {"operationId": "deleteHook", "parameters": with_etag},
            "calls": {"operationId": "listHookCalls", "parameters": hook},
        }
    }


def problems(*statuses: int, is_public: bool = False) -> Responses:
    """The descriptions of problems that an operation can answer with, beside those of all operations."""
    of_all = _PROBLEMS_OF_PUBLIC if is_public else _PROBLEMS_OF_ALL
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": schema, "example": problem_example(status)}},
            **headers(*_HEADERS_OF_PROBLEMS.get(status, ())),
        }
        for status in sorted({*statuses, *of_all, *(_PROBLEMS_OF_BODIES if 413 in statuses else ())})
    }


def complete_openapi(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's document with every error as a Problem instead of its own validation error."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem | {"title": "Problem"}
    schemas |= {**SCHEMAS, **HOOK_SCHEMAS, **WEBHOOK_SCHEMAS}
    for name, example in {**EXAMPLES, **HOOK_EXAMPLES, **WEBHOOK_EXAMPLES}.items():
        schemas[name]["examples"] = [example]
    for operations in document["paths"].values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer.setdefault("headers", {}).update(headers("X-Request-ID")["headers"])
    schemas["GoalType"] = {"type": "string", "enum": [kind.value for kind in GoalType], "title": "GoalType"}
    return document
