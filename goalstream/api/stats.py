"""Route of a workflow's statistics."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Query, Request, Response

from goalstream.api.achievement_documents import Statistics
from goalstream.api.auth import Reader
from goalstream.api.contract import problems
from goalstream.api.parts import Id, invalid_query, json_response, path_uuid, query_moment
from goalstream.errors import RefusedByDatabase
from goalstream.storage.cohorts import Cohort
from goalstream.storage.stats import statistics

router = APIRouter(prefix="/api/v1/workflows/{workflow_id}", tags=["statistics"])

_NO_ZONE = "must be an IANA time zone, such as Europe/Berlin"
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_MOMENT = Query(max_length=64, description="RFC 3339, or a date in `tz`")


@router.get(
    "/goals/stats",
    operation_id="getStatistics",
    summary="How well a workflow's goals convert",
    response_model=Statistics,
    responses=problems(404, 422),
)
async def get_statistics(
    workflow_id: Id,
    request: Request,
    reader: Reader,
    start: Annotated[str | None, _MOMENT] = None,
    end: Annotated[str | None, _MOMENT] = None,
    granularity: Annotated[Literal["hour", "day", "week"] | None, Query()] = None,
    tz: Annotated[str, Query(max_length=64, description="IANA time zone")] = "UTC",
) -> Response:
    """Of the enrollments that entered in [start, end): how many satisfied the goal logic, and how fast."""
    zone = _zone(tz)
    cohort = Cohort(
        workflow_id=path_uuid(workflow_id),
        start=_moment("start", start, zone),
        end=_moment("end", end, zone),
    )
    try:
        document = await statistics(
            request.app.state.database, reader.account_id, cohort, granularity=granularity, tz=zone.key
        )
    except RefusedByDatabase:  # it has time zones of its own, and lacks some names that this machine knows
        raise invalid_query("tz", _NO_ZONE) from None
    return json_response(document)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid_query("tz", _NO_ZONE) from None


def _moment(name: str, text: str | None, zone: ZoneInfo) -> datetime | None:
    """A bound of the cohort; a date begins at midnight in the zone."""
    if text is None:
        return None
    try:
        if _DATE(text):
            return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid_query(name, "is no date of the calendar") from None
    return query_moment(name, text)
