"""A workflow with millions of enrollments, written straight into the tables, and changes of some of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from rich.console import Console

from goalstream.storage.pool import Connection, Database

ACCOUNT, WORKFLOW, GOAL = (str(UUID(int=number)) for number in (1, 2, 3))
PORTION = 1_000_000
PATIENCE_SECONDS = 3_600

console = Console(stderr=True)

# Somebody enters every so often; two of five are satisfied, after three days on average. Ids are in no order.
_ENTER = """
insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at, satisfied_at)
select $1, md5('e' || n)::uuid, $2, md5('c' || n)::uuid, entered_at,
       case when n % 5 < 2 then entered_at - ln(1 - random()) * interval '3 days' end
  from (select n, $3::timestamptz + n * $4::interval as entered_at from generate_series($5::bigint, $6) as n) as people
"""

_ACHIEVE = """
insert into achievements (account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version, goal_type, achieved_at,
                          recorded_at, revision, source, event_id, event_type, occurred_at_source, clock_ahead, record_at,
                          data, late, also_matched, met, required, should_exit_workflow)
select account_id, enrollment_id, $2, workflow_id, contact_id, 1, 'tag_added', satisfied_at, satisfied_at, 1,
       'contact.tag.added', enrollment_id::text, 'contact.tag.added', 'event', false, satisfied_at,
       '{"contact_id":"' || contact_id || '","tag_name":"Purchased"}', false, '{}', 1, 1, true
  from enrollments where workflow_id = $1 and satisfied_at is not null
"""

_GOAL = """
insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at, created_by)
values ($1, $2, $3, 'tag_added', '', 1, now(), 'benchmark')
"""

# As the ledger does it, less the achievement: the change, and its mark.
_CHANGE = """
with changed as (
    update enrollments set satisfied_at = entered_at + interval '2 days'
      from (select account_id, enrollment_id from enrollments
             where account_id = $1 and workflow_id = $2 and satisfied_at is null and entered_at >= $3
             order by md5(enrollment_id::text) limit $4) as chosen
     where enrollments.account_id = chosen.account_id and enrollments.enrollment_id = chosen.enrollment_id
    returning enrollments.account_id, enrollments.workflow_id, enrollments.entered_at)
insert into statistics_marks select * from changed
"""

_INDEXES = """
select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition, conname as key,
       pg_get_constraintdef(pg_constraint.oid) as key_definition
  from pg_index left join pg_constraint on conindid = indexrelid
 where indrelid = $1::text::regclass
"""


async def fill(database: Database, count: int, since: datetime, until: datetime) -> None:
    """So many enrollments, evenly over the time between. Exits where the database holds some already."""
    async with database.connection() as connection:
        if await connection.fetchval("select exists (select from enrollments)"):
            raise SystemExit("the database has enrollments in it: a benchmark needs an empty one")
        await connection.execute("set statement_timeout = 0")
        every = (until - since) / count
        with console.status("filling") as status:
            restore = await _drop_indexes(connection, "enrollments", "achievements")
            for first in range(0, count, PORTION):
                status.update(f"enrollments: {first:,} of {count:,}")
                values = ACCOUNT, WORKFLOW, since, every, first, min(first + PORTION, count) - 1
                await connection.execute(_ENTER, *values, timeout=PATIENCE_SECONDS)
            status.update("achievements")
            await connection.execute(_ACHIEVE, WORKFLOW, GOAL, timeout=PATIENCE_SECONDS)
            await connection.execute(_GOAL, ACCOUNT, GOAL, WORKFLOW)
            for statement in (*restore, "vacuum analyze"):
                status.update(statement)
                await connection.execute(statement, timeout=PATIENCE_SECONDS)
            await connection.execute("insert into workflow_sizes values ($1, $2, $3)", ACCOUNT, WORKFLOW, count)
            await connection.execute("insert into statistics_marks values ($1, $2, $3)", ACCOUNT, WORKFLOW, since)
        await connection.execute("reset statement_timeout")


async def change(database: Database, count: int, since: datetime) -> None:
    """So many of those who entered since then are satisfied after two days."""
    async with database.connection() as connection:
        await connection.execute("set statement_timeout = 0")
        await connection.execute(_CHANGE, ACCOUNT, WORKFLOW, since, count, timeout=PATIENCE_SECONDS)
        await connection.execute("reset statement_timeout")


async def _drop_indexes(connection: Connection, *tables: str) -> list[str]:
    """The statements that build them again, which takes less time than to keep them while rows come."""
    restore = []
    for table in tables:
        for name, definition, key, key_definition in await connection.fetch(_INDEXES, table):
            is_key = key is not None
            await connection.execute(f"alter table {table} drop constraint {key}" if is_key else f"drop index {name}")
            restore.append(f"alter table {table} add constraint {key} {key_definition}" if is_key else definition)
    return restore
