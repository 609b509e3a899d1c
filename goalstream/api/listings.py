"""Routes that list what an account has: workflows, and achievements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from goalstream.api.achievement_documents import AchievementPage, WorkflowPage
from goalstream.api.auth import Reader
from goalstream.api.contract import headers, problems
from goalstream.api.cursors import Cursor, Limit, cut, decode_cursor, encode_cursor, moment, page, uuid
from goalstream.api.parts import Id, path_uuid, query_moment, query_uuid
from goalstream.domain.goals import GoalType
from goalstream.storage.listings import (
    AchievementKey,
    Wanted,
    achievements_of_contact,
    achievements_of_workflow,
    workflows,
)

router = APIRouter(prefix="/api/v1")

_PAGE: dict[int | str, dict[str, Any]] = {200: headers("Link"), **problems(404, 422)}


def _wanted(
    goal_id: Annotated[str | None, Query(json_schema_extra={"format": "uuid"})] = None,
    goal_type: Annotated[GoalType | None, Query()] = None,
    start: Annotated[str | None, Query(max_length=64, description="achieved at or after this time (RFC 3339)")] = None,
    end: Annotated[str | None, Query(max_length=64, description="achieved before this time (RFC 3339)")] = None,
    include_revoked: Annotated[bool, Query(description="also what does not hold any more")] = False,
) -> Wanted:
    """The filters of a query. Raises ApiError: 422."""
    return Wanted(
        goal_id=query_uuid("goal_id", goal_id),
        goal_type=goal_type and goal_type.value,
        start=None if start is None else query_moment("start", start),
        end=None if end is None else query_moment("end", end),
        include_revoked=include_revoked,
    )


Filters = Annotated[Wanted, Depends(_wanted)]


@router.get(
    "/workflows",
    tags=["workflows"],
    operation_id="listWorkflows",
    summary="List workflows",
    response_model=WorkflowPage,
    responses={200: headers("Link"), **problems(422)},
)
async def list_workflows(request: Request, reader: Reader, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """By id: every workflow that a goal, a status or an enrollment names. Of large ones `enrolled` is up to a minute old."""
    after = None if cursor is None else decode_cursor(cursor, "workflows", uuid)[0]
    found = await workflows(request.app.state.database, reader.account_id, limit=limit + 1, after=after)
    shown, next_cursor = cut(found, limit, lambda last: encode_cursor("workflows", last["workflow_id"]))
    return page(request, {"workflows": shown}, next_cursor, limit=limit)


@router.get(
    "/workflows/{workflow_id}/achievements",
    tags=["achievements"],
    operation_id="listAchievements",
    summary="List a workflow's achievements",
    response_model=AchievementPage,
    responses=_PAGE,
)
async def list_of_workflow(
    workflow_id: Id, request: Request, reader: Reader, wanted: Filters, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Newest first, by `achieved_at`."""
    workflow_id = path_uuid(workflow_id)
    found = await achievements_of_workflow(
        request.app.state.database, reader.account_id, workflow_id, wanted, limit=limit + 1, after=_after(cursor)
    )
    return _achievements(request, found, limit)


@router.get(
    "/contacts/{contact_id}/achievements",
    tags=["achievements"],
    operation_id="listContactAchievements",
    summary="List a contact's achievements",
    response_model=AchievementPage,
    responses=_PAGE,
)
async def list_of_contact(
    contact_id: Id, request: Request, reader: Reader, wanted: Filters, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Newest first, by `achieved_at`, whatever the workflow."""
    contact_id = path_uuid(contact_id)
    found = await achievements_of_contact(
        request.app.state.database, reader.account_id, contact_id, wanted, limit=limit + 1, after=_after(cursor)
    )
    return _achievements(request, found, limit)


def _achievements(request: Request, found: Sequence[dict[str, Any]], limit: int) -> Response:
    shown, next_cursor = cut(
        found,
        limit,
        lambda last: encode_cursor(
            "achievements", last["achieved_at"], last["workflow_enrollment_id"], last["goal_config_id"]
        ),
    )
    return page(request, {"achievements": shown}, next_cursor, limit=limit)


def _after(cursor: str | None) -> AchievementKey | None:
    return None if cursor is None else AchievementKey(*decode_cursor(cursor, "achievements", moment, uuid, uuid))
