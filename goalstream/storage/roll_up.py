"""Rolls up the statistics of large workflows: counts again whatever changed, so that nobody who asks has to count everything.

Whoever changes an enrollment leaves a mark in the same transaction. A roll-up is one transaction on one snapshot: it takes the
marks that it sees, many thousands at the most, and counts anew the quarters of an hour that they name; the next portion goes on
with the rest, and the last one sets the date. So it may be late, break off and be repeated, and
what commits meanwhile has left a mark for the next one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from goalstream.domain import spans
from goalstream.domain.spans import LEVELS, span_start
from goalstream.storage.codecs import uuid_columns
from goalstream.storage.pool import Connection, Database, Row
from goalstream.storage.spans import DAY, MEASURES, ORIGIN, QUARTER, counted, summed

LIVE_ENROLLMENTS = 100_000
"""Up to so many are counted whenever somebody asks, which takes a tenth of a second."""

LOCK = 0x726F6C6C
"""Advisory lock ("roll") that lets one worker roll up at a time."""

BETWEEN_SECONDS = 10.0
"""So long after a roll-up no other worker begins one: the more there are, the less each has to do."""

IDLE_SECONDS = 30
"""Who vanishes in the middle of a roll-up holds up the others no longer than this."""

CHECK_SECONDS = 86_400.0
"""How often everything is counted again, marked or not: previous releases leave no marks while they still run."""

CHECKED_AT_ONCE = 50_000
"""Enrollments whose spans a check counts in one statement."""

CHECKED_PORTIONS = 20
"""So many of these belong to one roll-up; the next one goes on where it ended."""

MARKS_AT_ONCE = 50_000
"""So many belong to one transaction; what was counted in one stays counted, whatever becomes of the next."""

SPANS_AT_ONCE = 200
"""Marked spans, or days, that are counted in one statement."""

Span = tuple[str, str, datetime]
"""(account id, workflow id, start)"""

Range = tuple[str, str, datetime, datetime]
"""(account id, workflow id, start, end)"""

# What another worker commits between the snapshot, which is taken first, and the lock, makes this roll-up fail where it matters.
_MAY_BEGIN = f"""
select pg_try_advisory_xact_lock({LOCK})
       and not exists (select from rollups where as_of > now() - make_interval(secs => $1)),
       set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', true)
"""

# Of what is marked, the quarters of workflows that may be large: those rolled up already, and those that should be counted.
_TAKE_MARKS = f"""
with taken as (
    delete from statistics_marks where ctid = any (array(select ctid from statistics_marks limit $2))
    returning account_id, workflow_id, entered_at),
grown as (
    insert into workflow_sizes as known (account_id, workflow_id, enrollments)
    select account_id, workflow_id, count(*) from taken group by account_id, workflow_id
    on conflict (account_id, workflow_id) do update set enrollments = known.enrollments + excluded.enrollments
    returning account_id, workflow_id, enrollments)
select distinct account_id::text, workflow_id::text, date_bin({QUARTER}, entered_at, {ORIGIN})
  from taken join grown using (account_id, workflow_id)
 where enrollments > $1
"""

_BEGIN_LARGE = """
with counted as (
    select account_id, workflow_id,
           (select count(*) from (
                   select from enrollments
                    where enrollments.account_id = told.account_id and enrollments.workflow_id = told.workflow_id
                      and entered_at is not null
                    limit $3 + 1) as some_of_them) as enrollments
      from unnest(uuids($1), uuids($2)) as told (account_id, workflow_id)
     where not exists (select from rollups
                        where rollups.account_id = told.account_id and rollups.workflow_id = told.workflow_id)),
known as (
    insert into workflow_sizes (account_id, workflow_id, enrollments)
    select account_id, workflow_id, enrollments from counted
    on conflict (account_id, workflow_id) do update set enrollments = excluded.enrollments)
insert into rollups (account_id, workflow_id)
select account_id, workflow_id from counted where enrollments > $3
"""

_CLEAR = f"""
with gone as (
    delete from rollup_spans
     where ctid = any (array(
           select cleared.ctid
             from unnest(uuids($1), uuids($2), $3::timestamptz[], $4::timestamptz[])
                  as told (account_id, workflow_id, starts_at, ends_at)
            cross join lateral (
                  select ctid from rollup_spans
                   where rollup_spans.account_id = told.account_id and rollup_spans.workflow_id = told.workflow_id
                     and level = 0 and rollup_spans.starts_at >= told.starts_at and rollup_spans.starts_at < told.ends_at
                  offset 0) as cleared))
    returning account_id, workflow_id, starts_at)
select distinct account_id::text, workflow_id::text, date_bin({DAY}, starts_at, {ORIGIN}) from gone
"""

_RANGES = """
    select account_id, workflow_id, starts_at, ends_at
      from unnest(uuids($1), uuids($2), $3::timestamptz[], $4::timestamptz[]) as told (account_id, workflow_id, starts_at, ends_at)
      join rollups using (account_id, workflow_id)
"""

_COUNT = f"""
with {counted(_RANGES)},
kept as (
    insert into rollup_spans (account_id, workflow_id, level, starts_at, {MEASURES})
    select account_id, workflow_id, 0, starts_at, {MEASURES} from counted
    returning account_id, workflow_id, starts_at)
select distinct account_id::text, workflow_id::text, date_bin({DAY}, starts_at, {ORIGIN}) from kept
"""

_CLEAR_SUMS = """
delete from rollup_spans
 where ctid = any (array(
       select cleared.ctid
         from unnest(uuids($1), uuids($2), $3::timestamptz[]) as told (account_id, workflow_id, starts_at)
        cross join lateral (
              select ctid from rollup_spans
               where rollup_spans.account_id = told.account_id and rollup_spans.workflow_id = told.workflow_id
                 and level = $4 and rollup_spans.starts_at = told.starts_at
              offset 0) as cleared))
"""

_PARTS = f"""
    select account_id, workflow_id, starts_at, {MEASURES}
      from unnest(uuids($1), uuids($2), $3::timestamptz[]) as told (account_id, workflow_id, starts_at)
     cross join lateral (
           select {MEASURES} from rollup_spans
            where rollup_spans.account_id = told.account_id and rollup_spans.workflow_id = told.workflow_id
              and level = $4::smallint - 1
              and rollup_spans.starts_at >= told.starts_at and rollup_spans.starts_at < told.starts_at + $5::interval
           offset 0) as part
"""

_SUM_UP = f"""
with {summed(_PARTS)}
insert into rollup_spans (account_id, workflow_id, level, starts_at, {MEASURES})
select account_id, workflow_id, $4, starts_at, {MEASURES} from summed
"""

_TO_CHECK = """
select account_id::text, workflow_id::text, checked_to from rollups
 where checked_to is not null or checked_at is null or checked_at < now() - make_interval(secs => $1)
 order by checked_at nulls first, account_id, workflow_id
 limit 1
"""

_END_OF_PORTION = f"""
select date_bin({QUARTER}, entered_at, {ORIGIN}) + {QUARTER} from enrollments
 where account_id = $1 and workflow_id = $2 and entered_at >= $3
 order by entered_at
offset $4 limit 1
"""

_CHECKED = """
update rollups set checked_to = $3, checked_at = case when $3::timestamptz is null then now() else checked_at end
 where account_id = $1 and workflow_id = $2
"""

# The transaction's time lies before its snapshot: nothing that was committed by then is missing.
_DATE = "update rollups set as_of = now() where checked_at is not null"

# Of the snapshot: what it saw, and the portions so far have not taken.
_IS_MORE = "select exists (select from statistics_marks)"

_OLDEST = "select min(as_of) from rollups"


class RollUp:
    """The roll-up of all accounts. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, database: Database, *, live_enrollments: int = LIVE_ENROLLMENTS) -> None:
        """Workflows with more than `live_enrollments` are rolled up."""
        self._database = database
        self._live_enrollments = live_enrollments

    async def refresh(
        self, *, between_seconds: float = BETWEEN_SECONDS, check_seconds: float = CHECK_SECONDS
    ) -> int | None:
        """Rolls up what changed, and returns how many spans that were; None where another worker does, or just has."""
        spans, is_through = 0, False
        while not is_through:
            async with self._database.repeatable() as connection:
                if not await connection.fetchval(_MAY_BEGIN, 0.0 if spans else between_seconds):
                    return spans or None
                spans += await self._roll_up(connection, check_seconds)
                is_through = not await connection.fetchval(_IS_MORE)
                if is_through:
                    await connection.execute(_DATE)
        return spans

    async def _roll_up(self, connection: Connection, check_seconds: float) -> int:
        """One portion: how many spans were marked in it."""
        marked = [_span(row) for row in await connection.fetch(_TAKE_MARKS, self._live_enrollments, MARKS_AT_ONCE)]
        workflows = sorted({(account_id, workflow_id) for account_id, workflow_id, _ in marked})
        await connection.execute(_BEGIN_LARGE, *uuid_columns(workflows, 2), self._live_enrollments)
        days = await _count(connection, [(*span, span[2] + LEVELS[0]) for span in sorted(marked)])
        days |= await _check(connection, check_seconds)
        await _sum_up(connection, days, level=1)
        await _sum_up(connection, {(*day[:2], span_start(day[2], 2)) for day in days}, level=2)
        return len(marked)

    async def as_of(self) -> datetime | None:
        """Of when the oldest of all statistics are that were rolled up; None where there are none."""
        async with self._database.connection() as connection:
            oldest: datetime | None = await connection.fetchval(_OLDEST)
        return oldest


async def _count(connection: Connection, ranges: Sequence[Range]) -> set[Span]:
    """Counts all that entered in ranges, which begin and end with quarters of an hour; the days that were touched."""
    days: set[Span] = set()
    for first in range(0, len(ranges), SPANS_AT_ONCE):
        portion = ranges[first : first + SPANS_AT_ONCE]
        times = [start for _, _, start, _ in portion], [end for _, _, _, end in portion]
        for statement in (_CLEAR, _COUNT):
            days.update(map(_span, await connection.fetch(statement, *_workflows(portion), *times)))
    return days


async def _check(connection: Connection, check_seconds: float) -> set[Span]:
    """Counts some of a workflow's enrollments, marked or not, where that is due; the days that were touched."""
    days: set[Span] = set()
    for _ in range(CHECKED_PORTIONS):
        due = await connection.fetchrow(_TO_CHECK, check_seconds)
        if due is None:
            break
        account_id, workflow_id, begin = due
        begin = begin or spans.ORIGIN
        end = await connection.fetchval(_END_OF_PORTION, account_id, workflow_id, begin, CHECKED_AT_ONCE)
        days |= await _count(connection, [(account_id, workflow_id, begin, end or spans.LAST)])
        await connection.execute(_CHECKED, account_id, workflow_id, end)
    return days


async def _sum_up(connection: Connection, changed: Collection[Span], *, level: int) -> None:
    """Adds up the spans of a level from those of the level below."""
    ordered = sorted(changed)
    for first in range(0, len(ordered), SPANS_AT_ONCE):
        portion = ordered[first : first + SPANS_AT_ONCE]
        told = [*_workflows(portion), [start for _, _, start in portion], level]
        await connection.execute(_CLEAR_SUMS, *told)
        await connection.execute(_SUM_UP, *told, LEVELS[level])


def _span(row: Row) -> Span:
    account_id, workflow_id, starts_at = row
    return account_id, workflow_id, starts_at


def _workflows(portion: Sequence[Span | Range]) -> list[str]:
    return uuid_columns([(one[0], one[1]) for one in portion], 2)
