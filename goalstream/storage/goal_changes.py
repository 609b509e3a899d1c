"""What makes every change of a goal provable: one lock between those who change goals and the workers that read the changes.

A change takes effect a moment after it is accepted. Writers take the lock before they read the clock, and commit at once;
a worker's refresh takes it shared and reads the clock afterwards: so it has seen every change accepted before that time.
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

_LOCK_FOR_WRITING = f"""
select set_config('lock_timeout', '{WRITE_TIMEOUT}', true), set_config('statement_timeout', '{WRITE_TIMEOUT}', true),
       pg_advisory_xact_lock({LOCK})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalChanges:
    """Goal versions accepted since a change, complete up to the database's `clock`."""

    clock: datetime
    last_change_id: int
    versions: Sequence[GoalVersion]


async def lock_for_writing(connection: Connection) -> datetime:
    """Takes the lock, and then reads the clock: never the transaction's start, which lies before the lock."""
    await connection.execute(_LOCK_FOR_WRITING)
    now = await connection.fetchval("select clock_timestamp()")
    assert isinstance(now, datetime)  # noqa: S101 - narrows the driver's Any
    return now


async def changes_since(database: Database, change_id: int) -> GoalChanges:
    """Every goal version accepted after `change_id`, of all accounts, complete up to the returned clock."""
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock_shared($1)", LOCK)
        clock = await connection.fetchval("select clock_timestamp()")
        rows = await connection.fetch("select * from goal_versions where change_id > $1 order by change_id", change_id)
        return GoalChanges(
            clock=clock,
            last_change_id=rows[-1]["change_id"] if rows else change_id,
            versions=[codecs.goal_version(row) for row in rows],
        )
