"""Routes that tell why: the verdict on every match of a contact, and what happened to the contact altogether."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from goalstream.api.auth import Reader
from goalstream.api.contract import headers, problems
from goalstream.api.cursors import Cursor, Limit, decode_cursor, encode_cursor, moment, page, text
from goalstream.api.parts import Id, path_uuid, query_uuid
from goalstream.api.why_documents import ExplanationPage, TimelinePage
from goalstream.storage.why import Key, explanation, timeline

router = APIRouter(prefix="/api/v1/contacts/{contact_id}", tags=["contacts"])

_PAGE: dict[int | str, dict[str, Any]] = {200: headers("Link"), **problems(404, 422)}


@router.get(
    "/goals/{goal_id}/explanation",
    operation_id="explainGoal",
    summary="Explain why a contact has or has not achieved a goal",
    response_model=ExplanationPage,
    responses=_PAGE,
)
async def explain_goal(
    contact_id: Id, goal_id: Id, request: Request, reader: Reader, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Every event that fulfilled the goal's criteria, once for each enrollment, newest first: achieved, or the first rule that
    refused it, with both values. An id that was merged stands for the contact into which it was.
    """
    contact_id, goal_id = path_uuid(contact_id), path_uuid(goal_id)
    found = await explanation(
        request.app.state.database,
        reader.account_id,
        contact_id,
        goal_id,
        allowed_lateness=_allowed_lateness(request),
        limit=limit,
        after=_after(cursor, "explanation"),
    )
    document = {
        "contact_id": found.contact_id,
        "contact_ids": found.contact_ids,
        "goal": found.goal,
        "verdicts": found.entries,
    }
    return page(request, document, _next("explanation", found.end), limit=limit)


@router.get(
    "/timeline",
    operation_id="showTimeline",
    summary="Show what happened to a contact",
    response_model=TimelinePage,
    responses=_PAGE,
)
async def show_timeline(
    contact_id: Id,
    request: Request,
    reader: Reader,
    workflow_id: Annotated[str | None, Query(json_schema_extra={"format": "uuid"})] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first, by when it happened: enrollments, events with their verdicts, exits, merges and the deletion."""
    contact_id = path_uuid(contact_id)
    found = await timeline(
        request.app.state.database,
        reader.account_id,
        contact_id,
        query_uuid("workflow_id", workflow_id),
        allowed_lateness=_allowed_lateness(request),
        limit=limit,
        after=_after(cursor, "timeline"),
    )
    document = {"contact_id": found.contact_id, "entries": found.entries}
    return page(request, document, _next("timeline", found.end), limit=limit)


def _allowed_lateness(request: Request) -> timedelta:
    return timedelta(seconds=request.app.state.settings.allowed_lateness_seconds)


def _after(cursor: str | None, listing: str) -> Key | None:
    return None if cursor is None else Key(*decode_cursor(cursor, listing, moment, text))


def _next(listing: str, end: Key | None) -> str | None:
    return None if end is None else encode_cursor(listing, *end)
