"""What the API tells of verdicts and goal versions, page after page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from goalstream.cli.api_client import Api, pages, with_api
from goalstream.domain.goals import GoalType, GoalVersion, parse_criteria
from goalstream.domain.times import parse_time


def verdicts_of(contact: str, goal: str, limit: int) -> dict[str, Any]:
    """The explanation of a contact and a goal as one page of at most `limit` verdicts; `is_complete`: they are all there are.

    Raises ApiUnavailable or OperatorError, as everything here.
    """
    return with_api(lambda api: _verdicts(api, contact, goal, limit))


def versions_of(goal: Mapping[str, Any]) -> list[GoalVersion]:
    """All versions of a goal; of each as much as decides what it matches, and when."""
    return with_api(lambda api: _versions(api, goal))


async def _verdicts(api: Api, contact: str, goal: str, limit: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    verdicts: list[Mapping[str, Any]] = []
    async for document in pages(api, f"/contacts/{contact}/goals/{goal}/explanation", wanted=limit):
        verdicts += document["verdicts"]
        if len(verdicts) >= limit:
            break
    is_complete = document.pop("next_cursor") is None and len(verdicts) <= limit
    return document | {"verdicts": verdicts[:limit], "is_complete": is_complete}


async def _versions(api: Api, goal: Mapping[str, Any]) -> list[GoalVersion]:
    path = f"/workflows/{goal['workflow_id']}/goals/{goal['id']}/versions"
    return [_version(one) async for page in pages(api, path) for one in page["versions"]]


def _version(document: Mapping[str, Any]) -> GoalVersion:
    goal_type = GoalType(document["goal_type"])
    return GoalVersion(
        account_id=document["account_id"],
        workflow_id=document["workflow_id"],
        goal_id=document["id"],
        version=document["version"],
        goal_type=goal_type,
        criteria=parse_criteria(goal_type, document["criteria"]),
        is_active=document["is_active"],
        is_deleted=document["is_deleted"],
        window=None,
        measure_after_exit=timedelta(),
        effective_from=moment_of(document["effective_from"]),
        created_at=moment_of(document["created_at"]),
    )


def moment_of(told: str | datetime) -> datetime:
    """A time of the API's answers, or one that is known already."""
    moment = parse_time(told) if isinstance(told, str) else told
    return datetime.min.replace(tzinfo=UTC) if moment is None else moment
