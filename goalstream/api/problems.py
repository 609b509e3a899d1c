"""How errors are told: problem+json (RFC 9457), with a stable `error`, and a JSON pointer for everything that is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from goalstream.errors import (
    BrokerUnavailable,
    CriteriaEmpty,
    DatabaseUnavailable,
    DuplicateGoal,
    GoalLimitExceeded,
    GoalNotFound,
    HookLimitExceeded,
    HookNotFound,
    InvalidGoal,
    InvalidMapping,
    KeysUnavailable,
    LetterNotFound,
    OperatorError,
    Problem,
    ReferenceNotFound,
    StaleVersion,
    Unavailable,
    WebhookLimitExceeded,
    WebhookNotFound,
)

log = structlog.get_logger()

RETRY_AFTER_SECONDS = "2"

_ERRORS_BY_STATUS = {
    400: "invalid_configuration",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "validation_error",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "validation_error",
    428: "precondition_required",
    429: "rate_limited",
    503: "unavailable",
}


_NAMES: Mapping[type[InvalidGoal], str] = {
    CriteriaEmpty: "criteria_empty",
    ReferenceNotFound: "reference_not_found",
    GoalLimitExceeded: "goal_limit_exceeded",
}

_AWAY: Mapping[type[Unavailable], str] = {
    DatabaseUnavailable: "The database is away",
    KeysUnavailable: "The keys of tokens cannot be read",
    BrokerUnavailable: "Kafka is away",
}


class ApiError(Exception):
    """A request that is answered with a problem."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error: str | None = None,
        problems: Sequence[Problem] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error or _ERRORS_BY_STATUS[status]
        self.problems = problems or [Problem("", message)]
        self.headers = headers or {}


def problem_response(error: ApiError) -> JSONResponse:
    """The answer that tells an error."""
    message = error.problems[0].message
    body = {
        "type": f"urn:goalstream:problem:{error.error}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": str(error),
        "error": error.error,
        "message": message,
        "errors": [{"pointer": problem.pointer, "message": problem.message} for problem in error.problems],
    }
    return JSONResponse(body, error.status, headers=error.headers, media_type="application/problem+json")


def defect_response(request_id: str) -> JSONResponse:
    """The answer where a defect of ours is in the way: nothing of it but where to look."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus.INTERNAL_SERVER_ERROR.phrase,
        "status": 500,
        "detail": f"A defect of goalstream; its log tells more at request_id {request_id}",
    }
    return JSONResponse(body, 500, media_type="application/problem+json")


def translate(error: Exception) -> ApiError:
    """The problem that stands for an exception of the rooms below."""
    match error:
        case ApiError():
            return error
        case CriteriaEmpty() | ReferenceNotFound() | GoalLimitExceeded():
            return ApiError(400, str(error), error=_NAMES[type(error)], problems=error.problems)
        case DuplicateGoal():
            return ApiError(409, str(error), error="duplicate_goal", problems=error.problems)
        case InvalidGoal() | InvalidMapping():
            return ApiError(422, str(error), problems=error.problems)
        case HookLimitExceeded():
            return ApiError(400, str(error), error="hook_limit_exceeded")
        case WebhookLimitExceeded():
            return ApiError(400, str(error), error="webhook_limit_exceeded")
        case GoalNotFound() | HookNotFound() | LetterNotFound() | WebhookNotFound():
            return ApiError(404, str(error))
        case StaleVersion():
            return ApiError(412, str(error), headers={"ETag": f'"{error.current_version}"'})
        case Unavailable() if isinstance(error, tuple(_AWAY)):
            return _unavailable(error)
        case OperatorError():
            log.error("request_refused", error=str(error))
            return ApiError(503, "Somebody who runs goalstream must mend this first; its log says what")
        case RequestValidationError():
            problems = [Problem(_pointer(found["loc"]), found["msg"]) for found in error.errors()]
            return ApiError(422, problems[0].message, problems=problems)
        case _:
            raise error


def add_problem_handlers(app: FastAPI) -> None:
    """Makes an application tell every error as a problem."""

    async def tell(_: Request, error: Exception) -> JSONResponse:
        return problem_response(translate(error))

    async def tell_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(app, request))
        if error.status_code not in _ERRORS_BY_STATUS:
            return problem_response(ApiError(404, "Not found"))
        return problem_response(ApiError(error.status_code, str(error.detail), headers=headers))

    for kind in (
        ApiError,
        InvalidGoal,
        InvalidMapping,
        HookLimitExceeded,
        HookNotFound,
        GoalNotFound,
        LetterNotFound,
        WebhookLimitExceeded,
        WebhookNotFound,
        StaleVersion,
        OperatorError,
        *_AWAY,
        RequestValidationError,
    ):
        app.add_exception_handler(kind, tell)
    app.add_exception_handler(HTTPException, tell_http)


def _unavailable(error: Unavailable) -> ApiError:
    """Why stands in the log alone: it may tell of addresses."""
    log.warning("request_refused", error=str(error))
    what = next(what for kind, what in _AWAY.items() if isinstance(error, kind))
    return ApiError(503, f"{what}; try again in a moment", headers={"Retry-After": RETRY_AFTER_SECONDS})


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """Every method that a path answers to; Starlette's own header names only the first route's."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def _pointer(location: Sequence[Any]) -> str:
    """Where a parameter stands: `/query/limit`."""
    return "/" + "/".join(str(part) for part in location)
