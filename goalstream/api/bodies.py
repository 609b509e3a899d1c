"""What requests hold: JSON whose numbers keep their digits, and the goals described in it. Every problem has its pointer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
from fastapi import Request

from goalstream.api.problems import ApiError
from goalstream.domain.durations import MAX_MEASURE_AFTER_EXIT, MAX_WINDOW, format_duration, parse_duration
from goalstream.domain.goals import Criteria, GoalType, parse_criteria
from goalstream.errors import InvalidGoal, Problem

_decoder = msgspec.json.Decoder(float_hook=Decimal)

CREATE_FIELDS = ("goal_type", "criteria", "window", "measure_after_exit")
PATCH_FIELDS = ("criteria", "is_active", "window", "measure_after_exit")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGoal:
    """A goal as it is asked for."""

    goal_type: GoalType
    criteria: Criteria
    window: timedelta | None
    measure_after_exit: timedelta


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in a request's body. Raises ApiError: 413, 415 or 422."""
    return parse_object(await read_json(request))


async def read_json(request: Request, limit: int | None = None) -> bytes:
    """A request's body, which says that it is JSON, of up to `limit` bytes as for `read_body`. Raises ApiError: 413 or 415."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in ("application/json", "application/merge-patch+json"):
        raise ApiError(415, "The body must be application/json", headers={"Accept": "application/json"})
    return await read_body(request, limit)


async def read_body(request: Request, limit: int | None = None) -> bytes:
    """A request's body, of up to `limit` bytes where it is not the usual number. Raises ApiError: 413."""
    limit = limit or int(request.app.state.max_body_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise ApiError(413, f"The body has more than {limit} bytes")
    return bytes(body)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises ApiError: 422."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise ApiError(422, f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ApiError(422, "The body must be a JSON object")
    return document


def parse_new_goal(document: Mapping[str, Any]) -> NewGoal:
    """The goal in a POST body. Raises InvalidGoal with everything that is wrong."""
    problems = unknown_fields(document, CREATE_FIELDS)
    goal_type = document.get("goal_type")
    known = [kind.value for kind in GoalType]
    if goal_type is None:
        problems.append(Problem("/goal_type", "goal_type is required"))
    elif goal_type not in known:
        problems.append(Problem("/goal_type", f"goal_type must be one of: {', '.join(known)}"))
    window = _window(document, problems)
    measure_after_exit = _measure_after_exit(document, problems)
    criteria = None
    if document.get("criteria") is None:
        problems.append(Problem("/criteria", "criteria is required"))
    elif goal_type in known:
        criteria = _criteria(GoalType(goal_type), document["criteria"], problems)
    if problems or criteria is None:
        raise InvalidGoal(*problems)
    return NewGoal(
        goal_type=GoalType(str(goal_type)), criteria=criteria, window=window, measure_after_exit=measure_after_exit
    )


def parse_changes(document: Mapping[str, Any], goal_type: GoalType) -> dict[str, Any]:
    """The changes in a PATCH body, by the names of GoalVersion. Raises InvalidGoal with everything that is wrong."""
    problems = unknown_fields(document, PATCH_FIELDS)
    changes: dict[str, Any] = {}
    if "criteria" in document:
        if document["criteria"] is None:
            problems.append(Problem("/criteria", "criteria cannot be removed"))
        else:
            changes["criteria"] = _criteria(goal_type, document["criteria"], problems)
    if "is_active" in document:
        changes["is_active"] = document["is_active"]
        if not isinstance(document["is_active"], bool):
            problems.append(Problem("/is_active", "must be true or false"))
    if "window" in document:
        changes["window"] = _window(document, problems)
    if "measure_after_exit" in document:
        changes["measure_after_exit"] = _measure_after_exit(document, problems)
    if problems:
        raise InvalidGoal(*problems)
    return changes


def unknown_fields(document: Mapping[str, Any], known: tuple[str, ...]) -> list[Problem]:
    """A problem for every field that nobody reads."""
    return [
        Problem("/" + name.replace("~", "~0").replace("/", "~1"), f"Unknown field; known: {', '.join(known)}")
        for name in document
        if name not in known
    ]


def refuse(problems: Sequence[Problem]) -> None:
    """Raises ApiError, 422, where there are problems: with all of them."""
    if problems:
        raise ApiError(422, problems[0].message, problems=problems)


def _criteria(goal_type: GoalType, document: object, problems: list[Problem]) -> Criteria | None:
    if not isinstance(document, dict):
        problems.append(Problem("/criteria", "must be an object"))
        return None
    try:
        return parse_criteria(goal_type, document)
    except InvalidGoal as error:
        if not problems:
            raise
        problems.extend(error.problems)
        return None


def _window(document: Mapping[str, Any], problems: list[Problem]) -> timedelta | None:
    window = _duration(document, "window", MAX_WINDOW, problems)
    if window == timedelta(0):
        problems.append(Problem("/window", "must be longer than nothing; null removes it"))
    return window


def _measure_after_exit(document: Mapping[str, Any], problems: list[Problem]) -> timedelta:
    return _duration(document, "measure_after_exit", MAX_MEASURE_AFTER_EXIT, problems) or timedelta(0)


def _duration(document: Mapping[str, Any], name: str, longest: timedelta, problems: list[Problem]) -> timedelta | None:
    text = document.get(name)
    if text is None:
        return None
    try:
        duration = parse_duration(text) if isinstance(text, str) else None
    except OverflowError:
        duration = timedelta.max
    if duration is None:
        problems.append(Problem(f"/{name}", "must be an ISO 8601 duration of weeks to seconds, such as P7D or PT36H"))
    elif duration > longest:
        problems.append(Problem(f"/{name}", f"must be at most {format_duration(longest)}"))
    return duration
