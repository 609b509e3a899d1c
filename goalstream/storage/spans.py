"""SQL that counts enrollments by spans of their time of entry, and adds spans up: the same for keeping and for reading them.

`offset 0` has everything looked up by its key, and nothing that was counted is joined: how many spans and enrollments there
are, PostgreSQL can only guess, and takes minutes where it guesses wrong.
"""

from __future__ import annotations

from goalstream.domain.spans import BIN_SECONDS, LEVELS

# PostgreSQL divides time as `domain.spans` does: since the first Monday there is.
ORIGIN = "timestamptz '0001-01-01 00:00:00Z'"
QUARTER, DAY, _ = (f"interval '{length.total_seconds():.0f} seconds'" for length in LEVELS)

MEASURES = "enrolled, satisfied, seconds, fastest, slowest, bins, counts, achieved"
"""The columns of what was counted, as `rollup_spans` has them."""

# Of every span: one row of its numbers, one for each bin of the times to goal, one for each goal and each goal type.
_GATHERED = """
    select account_id, workflow_id, starts_at,
           sum(number) filter (where bin is null and what is null)::bigint as enrolled, sum(satisfied)::bigint as satisfied,
           sum(seconds) as seconds, min(fastest) as fastest, max(slowest) as slowest,
           array_agg(bin order by bin) filter (where bin is not null) as bins,
           array_agg(number order by bin) filter (where bin is not null) as counts,
           jsonb_object_agg(what, number) filter (where what is not null) as achieved
      from rows_of_spans
     group by account_id, workflow_id, starts_at
"""


def counted(ranges: str) -> str:
    """CTEs of which `counted` has a row for every quarter of an hour in `ranges` that somebody entered in.

    `ranges` selects (account_id, workflow_id, starts_at, ends_at).
    """
    return f"""
ranges as ({ranges}),
entered as (
    select account_id, workflow_id, date_bin({QUARTER}, entered_at, {ORIGIN}) as starts_at,
           enrollment_id, extract(epoch from satisfied_at - entered_at) as seconds
      from ranges
     cross join lateral (
           select enrollment_id, entered_at, satisfied_at from enrollments
            where enrollments.account_id = ranges.account_id and enrollments.workflow_id = ranges.workflow_id
              and entered_at >= ranges.starts_at and entered_at < ranges.ends_at
           offset 0) as found),
rows_of_spans as (
    select account_id, workflow_id, starts_at, null::integer as bin, null::text as what, count(*) as number,
           count(seconds) as satisfied, sum(seconds) as seconds, min(seconds) as fastest, max(seconds) as slowest
      from entered
     group by account_id, workflow_id, starts_at
     union all
    select account_id, workflow_id, starts_at, floor(seconds / {BIN_SECONDS})::integer as bin, null, count(*),
           null, null, null, null
      from entered where seconds is not null
     group by account_id, workflow_id, starts_at, bin
     union all
    select account_id, workflow_id, starts_at, null, what, count(distinct enrollment_id), null, null, null, null
      from entered
     cross join lateral (
           select goal_id, goal_type from achievements
            where achievements.account_id = entered.account_id and achievements.enrollment_id = entered.enrollment_id
              and achievements.workflow_id is not distinct from entered.workflow_id and revoked_at is null
           offset 0) as achieved
     cross join lateral (values (goal_id::text), (goal_type)) as told (what)
     group by account_id, workflow_id, starts_at, what),
counted as ({_GATHERED})"""


def summed(parts: str) -> str:
    """CTEs of which `summed` has a row for every (account_id, workflow_id, starts_at) of `parts`.

    `parts` selects these, and the measures of spans that are added up.
    """
    return f"""
parts as ({parts}),
told as (
    select account_id, workflow_id, starts_at, null::integer as bin, null::text as what, enrolled as number,
           satisfied, seconds, fastest, slowest
      from parts
     union all
    select account_id, workflow_id, starts_at, bin, null, number, null, null, null, null
      from parts cross join lateral unnest(bins, counts) as told (bin, number)
     union all
    select account_id, workflow_id, starts_at, null, what, number::bigint, null, null, null, null
      from parts cross join lateral jsonb_each_text(achieved) as told (what, number)),
rows_of_spans as (
    select account_id, workflow_id, starts_at, bin, what, sum(number)::bigint as number, sum(satisfied)::bigint as satisfied,
           sum(seconds) as seconds, min(fastest) as fastest, max(slowest) as slowest
      from told
     group by account_id, workflow_id, starts_at, bin, what),
summed as ({_GATHERED})"""
