"""Cleaning: deletes what no fact can change any more, and what nobody may keep for longer. In portions, each its own commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from goalstream.storage import deliverers, hook_calls, idempotency
from goalstream.storage.pool import Database

LOCK = 0x636C65616E
"""Advisory lock ("clean") that lets one worker clean at a time, however many there are."""

PORTION = 5_000
"""Rows of one transaction: short enough to hold up nobody."""

_DELETE_MATCHES = """
delete from matches where ctid = any (array(select ctid from matches where record_at < $1 limit $2))
"""

_DELETE_AUDIT = """
delete from audit where ctid = any (array(select ctid from audit where at < $1 limit $2))
"""

_DELETE_ANSWERS = """
delete from idempotency_keys
 where ctid = any (array(select ctid from idempotency_keys where answered_at < $1 limit $2))
"""

_DELETE_CALLS = """
delete from hook_calls where ctid = any (array(select ctid from hook_calls where received_at < $1 limit $2))
"""

# Deliveries that somebody sends or erases at this moment are left for the next time.
_DELETE_DELIVERIES = """
delete from webhook_deliveries
 where ctid = any (array(select ctid from webhook_deliveries where created_at < $1 limit $2 for update skip locked))
"""

_DELETE_ATTEMPTS = """
delete from webhook_attempts where ctid = any (array(select ctid from webhook_attempts where at < $1 limit $2))
"""

# Enrollments that somebody settles at this moment are left for the next time.
_REMOVE_ENROLLMENTS = """
with old as (
    select account_id, enrollment_id, workflow_id, entered_at
      from enrollments where ended_at < $1 limit $2 for update skip locked),
marked as (
    insert into statistics_marks (account_id, workflow_id, entered_at)
    select account_id, workflow_id, entered_at from old where entered_at is not null),
starts as (
    delete from enrollment_starts using old
     where enrollment_starts.account_id = old.account_id and enrollment_starts.enrollment_id = old.enrollment_id),
ends as (
    delete from enrollment_ends using old
     where enrollment_ends.account_id = old.account_id and enrollment_ends.enrollment_id = old.enrollment_id),
achieved as (
    delete from achievements using old
     where achievements.account_id = old.account_id and achievements.enrollment_id = old.enrollment_id)
delete from enrollments using old
 where enrollments.account_id = old.account_id and enrollments.enrollment_id = old.enrollment_id
"""


class Cleaner:
    """Deletes what is old, of all accounts. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[datetime | None]:
        """The database's clock, for whoever may clean during the block; None while another worker does."""
        async with self._database.connection() as connection:
            is_mine = await connection.fetchval("select pg_try_advisory_lock($1)", LOCK)
            try:
                yield await connection.fetchval("select clock_timestamp()") if is_mine else None
            finally:
                if is_mine:
                    await connection.execute("select pg_advisory_unlock($1)", LOCK)

    async def delete_matches(self, recorded_before: datetime) -> int:
        """Deletes matches by their record's timestamp; an achievement stands for its own."""
        return await self._in_portions(_DELETE_MATCHES, recorded_before)

    async def remove_enrollments(self, ended_before: datetime) -> int:
        """Removes whole enrollments, with their facts and achievements; returns how many."""
        return await self._in_portions(_REMOVE_ENROLLMENTS, ended_before)

    async def delete_audit(self, before: datetime) -> int:
        """Deletes audit entries."""
        return await self._in_portions(_DELETE_AUDIT, before)

    async def delete_answers(self, clock: datetime) -> int:
        """Deletes answers that were kept long enough for requests which are repeated."""
        return await self._in_portions(_DELETE_ANSWERS, clock - idempotency.KEPT_FOR)

    async def delete_deliveries(self, clock: datetime) -> int:
        """Deletes deliveries to webhooks that were kept long enough, whatever became of them."""
        return await self._in_portions(_DELETE_DELIVERIES, clock - deliverers.KEPT_FOR)

    async def delete_attempts(self, clock: datetime) -> int:
        """Deletes attempts of deliveries that were kept as long."""
        return await self._in_portions(_DELETE_ATTEMPTS, clock - deliverers.KEPT_FOR)

    async def delete_calls(self, clock: datetime) -> int:
        """Deletes calls of hooks that were kept long enough for senders which repeat them, and for people who look."""
        return await self._in_portions(_DELETE_CALLS, clock - hook_calls.KEPT_FOR)

    async def _in_portions(self, statement: str, before: datetime) -> int:
        total, done = 0, PORTION
        while done == PORTION:
            async with self._database.connection() as connection:
                done = int((await connection.execute(statement, before, PORTION)).rpartition(" ")[2])
            total += done
        return total
