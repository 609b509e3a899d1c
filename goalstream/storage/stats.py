"""How well a workflow's goals convert: enrollments that entered, and those that satisfied the goal logic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from goalstream.storage.pool import Database

Granularity = Literal["hour", "day", "week"]

_MICROSECOND = Decimal("0.000001")

_COHORT = """
from enrollments
where account_id = $1 and workflow_id = $2 and entered_at is not null
  and entered_at >= case when $3::timestamptz is null then '-infinity' else $3 end
  and entered_at < case when $4::timestamptz is null then 'infinity' else $4 end
"""

_TOTALS = f"""
select count(*) as enrolled, count(satisfied_at) as satisfied, clock_timestamp() as computed_at,
       avg(seconds) as mean, min(seconds) as fastest, max(seconds) as slowest,
       percentile_cont(array[0.5, 0.9]) within group (order by seconds) as percentiles
  from (select satisfied_at, extract(epoch from satisfied_at - entered_at) as seconds {_COHORT}) as cohort
"""

# Every type and goal the workflow has or had; an enrollment counts once for each. What was achieved is found before it is joined
# with the goals: no index finds the achievements of a goal.
_BY_GOAL = f"""
with cohort as (select account_id, enrollment_id {_COHORT}),
     achieved as materialized (
       select achievements.goal_id, achievements.goal_type, achievements.enrollment_id
         from achievements join cohort using (account_id, enrollment_id)
        where achievements.account_id = $1 and achievements.workflow_id = $2 and revoked_at is null),
     known as (select goal_id, goal_type from goals where account_id = $1 and workflow_id = $2)
select known.goal_type, known.goal_id::text, count(distinct achieved.enrollment_id) as achieved
  from known left join achieved on achieved.goal_type = known.goal_type and achieved.goal_id = known.goal_id
 group by grouping sets ((known.goal_type), (known.goal_type, known.goal_id))
"""

_SERIES = f"""
select date_trunc($5, entered_at, $6) as start, count(*) as enrolled, count(satisfied_at) as satisfied {_COHORT}
 group by 1 order by 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Whose enrollments are counted: those that entered a workflow in [start, end)."""

    workflow_id: str
    start: datetime | None = None
    end: datetime | None = None


async def statistics(
    database: Database, account_id: str, cohort: Cohort, *, granularity: Granularity | None, tz: str
) -> dict[str, Any]:
    """The statistics document: percent and hours with one decimal, half up.

    Raises DatabaseUnavailable, or RefusedByDatabase for a time zone that PostgreSQL does not know.
    """
    values = account_id, cohort.workflow_id, cohort.start, cohort.end
    async with database.transaction(account_id) as connection:
        totals = await connection.fetchrow(_TOTALS, *values)
        groups = await connection.fetch(_BY_GOAL, *values)
        series = await connection.fetch(_SERIES, *values, granularity, tz) if granularity else None
    assert totals is not None  # noqa: S101 - an aggregate always has a row
    enrolled = totals["enrolled"]
    median, p90 = totals["percentiles"] or (None, None)
    document: dict[str, Any] = {
        "workflow_id": cohort.workflow_id,
        "total_enrolled": enrolled,
        "goals_achieved": totals["satisfied"],
        "conversion_rate": _percent(totals["satisfied"], enrolled),
        "avg_time_to_goal_hours": _hours(totals["mean"]),
        "median_time_to_goal_hours": _hours(median),
        "p90_time_to_goal_hours": _hours(p90),
        "fastest_time_to_goal_hours": _hours(totals["fastest"]),
        "slowest_time_to_goal_hours": _hours(totals["slowest"]),
        "by_goal_type": _groups(groups, enrolled, key="goal_type", is_goal=False),
        "by_goal": _groups(groups, enrolled, key="goal_id", is_goal=True),
        "computed_at": totals["computed_at"],
        "as_of": totals["computed_at"],
    }
    if series is not None:
        document["series"] = [
            {
                "start": row["start"],
                "total_enrolled": row["enrolled"],
                "goals_achieved": row["satisfied"],
                "conversion_rate": _percent(row["satisfied"], row["enrolled"]),
            }
            for row in series
        ]
    return document


def _groups(rows: Sequence[Any], enrolled: int, *, key: str, is_goal: bool) -> dict[str, Any]:
    return {
        row[key]: {"achieved": row["achieved"], "conversion_rate": _percent(row["achieved"], enrolled)}
        for row in rows
        if (row["goal_id"] is not None) == is_goal
    }


def _percent(part: int, whole: int) -> float:
    return float(_rounded(Decimal(100 * part) / whole)) if whole else 0.0


def _hours(seconds: Decimal | float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, float):  # a percentile: interpolated in floating point, of times in whole microseconds
        seconds = Decimal(seconds).quantize(_MICROSECOND)
    return float(_rounded(seconds / 3_600))


def _rounded(number: Decimal) -> Decimal:
    return number.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
