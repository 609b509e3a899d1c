"""Routes of a workflow's goals: create, list, show, change, delete."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from goalstream.api.auth import Reader, Writer
from goalstream.api.bodies import parse_changes, parse_new_goal, parse_object, read_json, read_object
from goalstream.api.contract import headers, links_to_goal, problems
from goalstream.api.cursors import Cursor, Limit, decode_cursor, encode_cursor, moment, page, uuid
from goalstream.api.documents import GoalDocument, GoalList
from goalstream.api.etags import IfMatch, IfNoneMatch, etag, expected_version, not_modified, require_if_match
from goalstream.api.idempotency import REPLAYED, IdempotencyKey, answer_once
from goalstream.api.parts import Id, json_response, path_uuid
from goalstream.api.schemas import body
from goalstream.api.tokens import Principal
from goalstream.storage.goal_versions import Goal
from goalstream.storage.goals import GoalBook
from goalstream.storage.pool import Transactions

router = APIRouter(prefix="/api/v1/workflows/{workflow_id}", tags=["goals"])

_WRITTEN = headers("ETag", "Effective-From")


@router.post(
    "/goals",
    status_code=201,
    operation_id="createGoal",
    summary="Create a goal",
    openapi_extra=body("NewGoal"),
    response_model=GoalDocument,
    responses={
        201: headers("Location", "ETag", "Effective-From", REPLAYED) | links_to_goal(),
        **problems(400, 404, 409, 413, 415, 422),
    },
)
async def create_goal(
    workflow_id: Id, request: Request, writer: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    """A new goal; `effective_from` says from when it holds."""
    workflow_id = path_uuid(workflow_id)
    body = await read_json(request)

    async def create(database: Transactions) -> Response:
        wanted = parse_new_goal(parse_object(body))
        goal = await _book(request, writer, database).create(
            workflow_id,
            goal_type=wanted.goal_type,
            criteria=wanted.criteria,
            window=wanted.window,
            measure_after_exit=wanted.measure_after_exit,
            actor=writer.subject,
        )
        response = _written(goal, 201)
        response.headers["Location"] = f"/api/v1/workflows/{goal.version.workflow_id}/goals/{goal.version.goal_id}"
        return response

    return await answer_once(request, writer, idempotency_key, body, create)


@router.get(
    "/goals",
    operation_id="listGoals",
    summary="List a workflow's goals",
    response_model=GoalList,
    responses={200: headers("Link"), **problems(404, 422)},
)
async def list_goals(
    workflow_id: Id,
    request: Request,
    reader: Reader,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """In the order of creation; a cursor goes on where a page ended, whatever was created or deleted meanwhile."""
    after = None if cursor is None else decode_cursor(cursor, "goals", moment, uuid)
    offset = 0 if after else offset
    found = await _book(request, reader).page(path_uuid(workflow_id), limit=limit, offset=offset, after=after)
    next_cursor = None
    if found.has_more:
        last = found.goals[-1].version
        next_cursor = encode_cursor("goals", last.created_at, last.goal_id)
    document = {
        "goals": [goal.document() for goal in found.goals],
        "total": found.total,
        "offset": offset,
        "limit": limit,
    }
    return page(request, document, next_cursor, limit=limit)


@router.get(
    "/goals/{goal_id}",
    operation_id="getGoal",
    summary="Show a goal",
    response_model=GoalDocument,
    responses={200: headers("ETag"), 304: {"description": "Not modified", **headers("ETag")}, **problems(404, 422)},
)
async def get_goal(
    workflow_id: Id, goal_id: Id, request: Request, reader: Reader, if_none_match: IfNoneMatch = None
) -> Response:
    """The newest version, which may not be in force yet."""
    goal = await _book(request, reader).get(path_uuid(workflow_id), path_uuid(goal_id))
    version = goal.version.version
    if known := not_modified(if_none_match, version):
        return known
    response = json_response(goal.document())
    response.headers["ETag"] = etag(version)
    return response


@router.patch(
    "/goals/{goal_id}",
    operation_id="changeGoal",
    summary="Change a goal",
    openapi_extra=body("GoalChanges"),
    response_model=GoalDocument,
    responses={200: _WRITTEN, **problems(400, 404, 409, 412, 413, 415, 422, 428)},
)
async def change_goal(
    workflow_id: Id, goal_id: Id, request: Request, writer: Writer, if_match: IfMatch = None
) -> Response:
    """A new version; the same one when nothing changes. `criteria` replaces, `window: null` removes."""
    workflow_id, goal_id = path_uuid(workflow_id), path_uuid(goal_id)
    if_match = require_if_match(if_match)
    document = await read_object(request)
    book = _book(request, writer)
    current = await book.get(workflow_id, goal_id)
    goal = await book.change(
        workflow_id,
        goal_id,
        parse_changes(document, current.version.goal_type),
        expected_version=expected_version(if_match, current.version.version),
        actor=writer.subject,
    )
    return _written(goal, 200)


@router.delete(
    "/goals/{goal_id}",
    status_code=204,
    operation_id="deleteGoal",
    summary="Delete a goal",
    response_class=Response,
    responses={204: headers("Effective-From"), **problems(404, 412, 422)},
)
async def delete_goal(
    workflow_id: Id, goal_id: Id, request: Request, writer: Writer, if_match: IfMatch = None
) -> Response:
    """Achievements and history stay; the goal's place and its criteria are free again."""
    workflow_id, goal_id = path_uuid(workflow_id), path_uuid(goal_id)
    book = _book(request, writer)
    expected = None
    if if_match is not None:
        current = await book.get(workflow_id, goal_id)
        expected = expected_version(if_match, current.version.version)
    goal = await book.delete(workflow_id, goal_id, expected_version=expected, actor=writer.subject)
    return Response(status_code=204, headers={"Effective-From": _rfc3339(goal.version.effective_from)})


def _book(request: Request, principal: Principal, database: Transactions | None = None) -> GoalBook:
    settings = request.app.state.settings
    return GoalBook(
        database or request.app.state.database,
        account_id=principal.account_id,
        activation_delay=timedelta(seconds=settings.activation_delay_seconds),
        max_goals_per_workflow=settings.max_goals_per_workflow,
    )


def _written(goal: Goal, status: int) -> Response:
    response = json_response(goal.document(), status)
    response.headers["ETag"] = etag(goal.version.version)
    response.headers["Effective-From"] = _rfc3339(goal.version.effective_from)
    return response


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
