"""Counting a cohort: all of it whenever somebody asks, or from what was rolled up and what that leaves out at both ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from goalstream.domain.spans import LAST, Cover, Times, cover, percentile
from goalstream.storage.codecs import decode_json
from goalstream.storage.pool import Connection, Row
from goalstream.storage.spans import MEASURES, counted, summed

Granularity = Literal["hour", "day", "week"]

_MICROSECOND = Decimal("0.000001")
_MEDIAN, _P90 = Decimal("0.5"), Decimal("0.9")

# `case`, since for `coalesce` row security keeps the index from being searched by time.
_COHORT = """
from enrollments
where account_id = $1 and workflow_id = $2 and entered_at is not null
  and entered_at >= case when $3::timestamptz is null then '-infinity' else $3 end
  and entered_at < case when $4::timestamptz is null then 'infinity' else $4 end
"""

_TOTALS = f"""
select count(*) as enrolled, count(satisfied_at) as satisfied,
       avg(seconds) as mean, min(seconds) as fastest, max(seconds) as slowest,
       percentile_cont(array[0.5, 0.9]) within group (order by seconds) as percentiles
  from (select satisfied_at, extract(epoch from satisfied_at - entered_at) as seconds {_COHORT}) as cohort
"""

# An enrollment counts once for each goal, and once for each type. No index finds the achievements of a goal.
_ACHIEVED = f"""
with cohort as (select account_id, enrollment_id {_COHORT}),
     achieved as (
       select achievements.goal_id, achievements.goal_type, achievements.enrollment_id
         from achievements join cohort using (account_id, enrollment_id)
        where achievements.account_id = $1 and achievements.workflow_id = $2 and revoked_at is null)
select goal_id::text as what, count(*) as number from achieved group by goal_id
 union all
select goal_type, count(distinct enrollment_id) from achieved group by goal_type
"""

_SERIES = f"""
select date_trunc($5, entered_at, $6) as start, count(*) as enrolled, count(satisfied_at) as satisfied {_COHORT}
 group by 1 order by 1
"""

# One sum of whole spans, and of the quarters of an hour at both ends of the cohort that it cuts in two.
_REST = """
    select $1::uuid as account_id, $2::uuid as workflow_id, starts_at, ends_at
      from unnest($6::timestamptz[], $7::timestamptz[]) as rest (starts_at, ends_at)
"""

_PARTS = f"""
    select $1::uuid as account_id, $2::uuid as workflow_id, timestamptz '-infinity' as starts_at, {MEASURES}
      from unnest($3::smallint[], $4::timestamptz[], $5::timestamptz[]) as told (level, starts_at, ends_at)
     cross join lateral (
           select {MEASURES} from rollup_spans
            where account_id = $1 and workflow_id = $2 and rollup_spans.level = told.level
              and rollup_spans.starts_at >= told.starts_at and rollup_spans.starts_at < told.ends_at
           offset 0) as whole
     union all
    select $1, $2, timestamptz '-infinity', {MEASURES} from (with {counted(_REST)} select * from counted) as rest
"""

_ROLLED_UP = f"with {summed(_PARTS)} select {MEASURES} from summed"

_ROLLED_UP_SERIES = """
select date_trunc($7, starts_at, $8) as start, sum(enrolled)::bigint as enrolled, sum(satisfied)::bigint as satisfied
  from (select starts_at, enrolled, satisfied from rollup_spans
         where account_id = $1 and workflow_id = $2 and level = 0 and starts_at >= $3 and starts_at < $4
         union all
        select entered_at, 1, case when satisfied_at is null then 0 else 1 end
          from unnest($5::timestamptz[], $6::timestamptz[]) as rest (starts_at, ends_at)
         cross join lateral (
               select entered_at, satisfied_at from enrollments
                where account_id = $1 and workflow_id = $2 and entered_at >= rest.starts_at and entered_at < rest.ends_at
               offset 0) as entered) as parts
 group by 1 order by 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Whose enrollments are counted: those that entered a workflow in [start, end)."""

    workflow_id: str
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a cohort comes to; times to goal in seconds, None where nobody is satisfied."""

    enrolled: int
    satisfied: int
    mean: Decimal | None
    median: Decimal | None
    p90: Decimal | None
    fastest: Decimal | None
    slowest: Decimal | None
    achieved: Mapping[str, int]
    """Enrollments by goal id, and by goal type."""
    series: Sequence[Any] | None


async def count_live(
    connection: Connection, account_id: str, cohort: Cohort, granularity: Granularity | None, tz: str
) -> Counted:
    """Exact, at the moment of the transaction's snapshot."""
    values = account_id, cohort.workflow_id, cohort.start, cohort.end
    totals = await connection.fetchrow(_TOTALS, *values)
    assert totals is not None  # noqa: S101 - an aggregate always has a row
    median, p90 = map(_exact, totals["percentiles"] or (None, None))
    return Counted(
        enrolled=totals["enrolled"],
        satisfied=totals["satisfied"],
        mean=totals["mean"],
        median=median,
        p90=p90,
        fastest=totals["fastest"],
        slowest=totals["slowest"],
        achieved={what: number for what, number in await connection.fetch(_ACHIEVED, *values)},
        series=await connection.fetch(_SERIES, *values, granularity, tz) if granularity else None,
    )


async def count_rolled_up(
    connection: Connection, account_id: str, cohort: Cohort, granularity: Granularity | None, tz: str
) -> Counted | None:
    """As of the last roll-up, percentiles within 0.084 hours; None where it has nothing of the cohort."""
    covered = cover(cohort.start, cohort.end)
    whole = [list(column) for column in zip(*covered.spans, strict=True)] or [[], [], []]
    rest = [start for start, _ in covered.rest], [end for _, end in covered.rest]
    values = account_id, cohort.workflow_id
    sums = await connection.fetchrow(_ROLLED_UP, *values, *whole, *rest)
    if sums is None:
        return None
    series = None
    if granularity is not None:
        series = await connection.fetch(_ROLLED_UP_SERIES, *values, *_quarters(covered), *rest, granularity, tz)
    mean, median, p90 = _averages(sums)
    return Counted(
        enrolled=sums["enrolled"],
        satisfied=sums["satisfied"],
        mean=mean,
        median=median,
        p90=p90,
        fastest=sums["fastest"],
        slowest=sums["slowest"],
        achieved=decode_json(sums["achieved"]) if sums["achieved"] else {},
        series=series,
    )


def _averages(sums: Row) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Mean, median and 90th percentile."""
    if not sums["satisfied"]:
        return None, None, None
    bins = list(zip(sums["bins"], sums["counts"], strict=True))
    times = Times(bins=bins, fastest=sums["fastest"], slowest=sums["slowest"])
    return sums["seconds"] / sums["satisfied"], percentile(times, _MEDIAN), percentile(times, _P90)


def _quarters(covered: Cover) -> tuple[datetime, datetime]:
    """From where to where whole quarters of an hour go, which lie all next to each other."""
    starts, ends = [start for _, start, _ in covered.spans], [end for _, _, end in covered.spans]
    return min(starts, default=LAST), max(ends, default=LAST)


def _exact(seconds: float | None) -> Decimal | None:
    """A percentile, which was interpolated in floating point, of times in whole microseconds."""
    return None if seconds is None else Decimal(seconds).quantize(_MICROSECOND)
