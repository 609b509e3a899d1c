"""How well a workflow's goals convert: enrollments that entered, and those that satisfied the goal logic.

Counted whenever somebody asks, or where a cohort is large from what was rolled up within the last minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from goalstream.storage.cohorts import Cohort, Counted, Granularity, count_live, count_rolled_up
from goalstream.storage.pool import Database, Row
from goalstream.storage.roll_up import LIVE_ENROLLMENTS

ROLLED_UP_SECONDS = 60.0
"""What was rolled up longer ago is not shown: then a large workflow is counted as a small one is, however long that takes."""

# Every goal that the workflow has or had.
_GOALS = "select goal_id::text, goal_type from goals where account_id = $1 and workflow_id = $2"

_AS_OF = """
select as_of from rollups
 where account_id = $1 and workflow_id = $2 and as_of > statement_timestamp() - make_interval(secs => $3)
"""


async def statistics(
    database: Database,
    account_id: str,
    cohort: Cohort,
    *,
    granularity: Granularity | None,
    tz: str,
    live_enrollments: int = LIVE_ENROLLMENTS,
) -> dict[str, Any]:
    """The statistics document: percent and hours with one decimal, half up.

    A cohort of more than `live_enrollments` is counted from what was rolled up, if that was within the last minute; then
    `as_of` says when, and percentiles may differ by 0.1 hours. Raises DatabaseUnavailable, or RefusedByDatabase for a time
    zone that PostgreSQL does not know.
    """
    values = account_id, cohort.workflow_id
    async with database.snapshot(account_id) as connection:
        computed_at = await connection.fetchval("select clock_timestamp()")
        goals = await connection.fetch(_GOALS, *values)
        as_of = await connection.fetchval(_AS_OF, *values, ROLLED_UP_SECONDS)
        found = await count_rolled_up(connection, account_id, cohort, granularity, tz) if as_of else None
        if found is None or found.enrolled <= live_enrollments:
            as_of = computed_at
            found = await count_live(connection, account_id, cohort, granularity, tz)
    return _document(cohort.workflow_id, found, goals) | {"computed_at": computed_at, "as_of": as_of} | _series(found)


def _document(workflow_id: str, found: Counted, goals: Sequence[Row]) -> dict[str, Any]:
    enrolled = found.enrolled
    return {
        "workflow_id": workflow_id,
        "total_enrolled": enrolled,
        "goals_achieved": found.satisfied,
        "conversion_rate": _percent(found.satisfied, enrolled),
        "avg_time_to_goal_hours": _hours(found.mean),
        "median_time_to_goal_hours": _hours(found.median),
        "p90_time_to_goal_hours": _hours(found.p90),
        "fastest_time_to_goal_hours": _hours(found.fastest),
        "slowest_time_to_goal_hours": _hours(found.slowest),
        "by_goal_type": {goal_type: _conversion(found, goal_type) for _, goal_type in goals},
        "by_goal": {goal_id: _conversion(found, goal_id) for goal_id, _ in goals},
    }


def _conversion(found: Counted, what: str) -> dict[str, Any]:
    achieved = found.achieved.get(what, 0)
    return {"achieved": achieved, "conversion_rate": _percent(achieved, found.enrolled)}


def _series(found: Counted) -> dict[str, Any]:
    if found.series is None:
        return {}
    return {
        "series": [
            {
                "start": row["start"],
                "total_enrolled": row["enrolled"],
                "goals_achieved": row["satisfied"],
                "conversion_rate": _percent(row["satisfied"], row["enrolled"]),
            }
            for row in found.series
        ]
    }


def _percent(part: int, whole: int) -> float:
    return float(_rounded(Decimal(100 * part) / whole)) if whole else 0.0


def _hours(seconds: Decimal | None) -> float | None:
    return None if seconds is None else float(_rounded(seconds / 3_600))


def _rounded(number: Decimal) -> Decimal:
    return number.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
