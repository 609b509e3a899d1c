"""What makes every change of a goal provable: one lock between those who change goals and the workers that read the changes.

A change takes effect a moment after it is accepted. Writers take the lock before they read the clock, and commit at once,
or after they have kept the answer to an `Idempotency-Key`; a worker's refresh takes it shared and reads the clock afterwards: so it has seen every change accepted before that time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from goalstream.domain.goals import GoalVersion
from goalstream.storage import codecs
from goalstream.storage.pool import Connection, Database

LOCK = 0x676F616C73
"""Advisory lock ("goals") between those who change goals and the workers that read the changes."""

WRITE_TIMEOUT = "2s"
"""A writer holds the lock for milliseconds; whoever waits longer for it is told to try again."""

PORTION = 500
"""Versions that are read at once: some milliseconds, after which the worker's event loop does something else."""

_LOCK_FOR_WRITING = f"""
select set_config('lock_timeout', '{WRITE_TIMEOUT}', true), set_config('statement_timeout', '{WRITE_TIMEOUT}', true),
       pg_advisory_xact_lock({LOCK})
"""


# In the order of their acceptance, from where the last portion ended (index goal_versions_by_change).
_CHANGES = """
select account_id::text, workflow_id::text, goal_id::text, version, goal_type, criteria, is_active, is_deleted,
       window_seconds, measure_after_exit_seconds, effective_from, goal_created_at, change_id
  from goal_versions
 where change_id > $1
 order by change_id
 limit $2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalChanges:
    """Goal versions accepted since a change; all of them up to the database's `clock`, if they are complete."""

    clock: datetime
    last_change_id: int
    versions: Sequence[GoalVersion]
    is_complete: bool


async def lock_for_writing(connection: Connection) -> datetime:
    """Takes the lock, and then reads the clock: never the transaction's start, which lies before the lock."""
    await connection.execute(_LOCK_FOR_WRITING)
    now = await connection.fetchval("select clock_timestamp()")
    assert isinstance(now, datetime)  # noqa: S101 - narrows the driver's Any
    return now


async def changes_since(database: Database, change_id: int, limit: int = PORTION) -> GoalChanges:
    """The goal versions accepted after `change_id`, of all accounts: at most `limit`, then more must be asked for."""
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock_shared($1)", LOCK)
        clock = await connection.fetchval("select clock_timestamp()")
        rows = await connection.fetch(_CHANGES, change_id, limit)
    return GoalChanges(
        clock=clock,
        last_change_id=rows[-1]["change_id"] if rows else change_id,
        versions=[codecs.goal_version(row, is_once=True) for row in rows],
        is_complete=len(rows) < limit,
    )
