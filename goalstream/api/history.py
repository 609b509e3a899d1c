"""Routes that tell what became of a workflow's goals: versions and audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from goalstream.api.auth import Reader
from goalstream.api.contract import headers, problems
from goalstream.api.cursors import Cursor, Limit, cut, decode_cursor, encode_cursor, number, page
from goalstream.api.documents import AuditPage, GoalVersions
from goalstream.api.parts import Id, path_uuid
from goalstream.storage.history import AuditKind, audit, goal_versions

router = APIRouter(prefix="/api/v1/workflows/{workflow_id}/goals", tags=["goals"])


@router.get(
    "/audit",
    operation_id="listAudit",
    summary="List what was changed, and what was achieved",
    response_model=AuditPage,
    responses={200: headers("Link"), **problems(404, 422)},
)
async def list_audit(
    workflow_id: Id,
    request: Request,
    reader: Reader,
    kind: Annotated[
        AuditKind | None, Query(description="only changes of goals, or only achievements, moves and revocations")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first. What goalstream decided by itself has the actor `goalstream`."""
    workflow_id = path_uuid(workflow_id)
    before = None if cursor is None else decode_cursor(cursor, "audit", number)[0]
    found = await audit(
        request.app.state.database, reader.account_id, workflow_id, kind=kind, limit=limit + 1, before=before
    )
    entries, next_cursor = cut(found, limit, lambda last: encode_cursor("audit", last["entry_id"]))
    shown = [{name: value for name, value in entry.items() if name != "entry_id"} for entry in entries]
    return page(request, {"entries": shown}, next_cursor, limit=limit)


@router.get(
    "/{goal_id}/versions",
    operation_id="listGoalVersions",
    summary="List a goal's versions",
    response_model=GoalVersions,
    responses={200: headers("Link"), **problems(404, 422)},
)
async def list_versions(
    workflow_id: Id, goal_id: Id, request: Request, reader: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Newest first; each is in force from its `effective_from` to the next one's. A deleted goal keeps them."""
    workflow_id, goal_id = path_uuid(workflow_id), path_uuid(goal_id)
    before = None if cursor is None else decode_cursor(cursor, "versions", number)[0]
    found = await goal_versions(
        request.app.state.database, reader.account_id, workflow_id, goal_id, limit=limit + 1, before=before
    )
    versions, next_cursor = cut(found, limit, lambda last: encode_cursor("versions", last["version"]))
    return page(request, {"versions": versions}, next_cursor, limit=limit)
