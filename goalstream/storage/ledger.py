"""The ledger: store facts and commit, then settle what they touch and commit. The same two transactions for every fact.

Of two facts that need each other, the one that commits second sees the first: everybody looks after their own commit,
whatever was found before. So nothing is locked that does not exist yet, and a crash in between is repaired by the replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from goalstream.domain import messages
from goalstream.domain.achievements import Achievement, Action, Change, changes
from goalstream.domain.facts import Fact, Match
from goalstream.domain.messages import EncodedMessage, Message
from goalstream.domain.settlement import Verdict, settle
from goalstream.storage import outbox
from goalstream.storage.achievements import write_changes
from goalstream.storage.contacts import Enrollment, Families, erase_matches, erase_recorded
from goalstream.storage.enrollments import EnrollmentRow, KnownEnrollment, lock, read
from goalstream.storage.facts import store_facts
from goalstream.storage.pool import Connection, Database
from goalstream.storage.touched import Touched, find_touched

MAX_ENROLLMENTS_PER_TRANSACTION = 500
"""Bounds how long locks are held; beyond it a transaction gains no speed."""

PUBLISH_AHEAD_SECONDS = 10.0
"""How long the sweepers leave a message to the worker that wrote it, which publishes it at once."""

# What changed is marked for the statistics of large workflows (`storage/roll_up`), where it counts now and where it did before.
_UPDATE_ENROLLMENTS = """
with marked as (
    insert into statistics_marks (account_id, workflow_id, entered_at)
    select account_id, workflow_id, entered_at from unnest($1::enrollment_row[] || $2::enrollment_row[])
     where entered_at is not null)
update enrollments
   set workflow_id = settled.workflow_id, contact_id = settled.contact_id, entered_at = settled.entered_at,
       ended_at = settled.ended_at, satisfied_at = settled.satisfied_at, exited_at = settled.exited_at
  from unnest($1::enrollment_row[]) as settled
 where enrollments.account_id = settled.account_id and enrollments.enrollment_id = settled.enrollment_id
"""


@dataclass(slots=True, kw_only=True)
class Settled:
    """What a settlement wrote: the changes of achievements, and the messages about them, now in the outbox."""

    changes: list[Change] = field(default_factory=list)
    messages: list[EncodedMessage] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of a match, and what is recorded of its goal: valid or not, by whatever match; None where nothing ever was."""

    verdict: Verdict
    achievement: Achievement | None


class Ledger:
    """Facts and what follows from them. Everything raises DatabaseUnavailable or RefusedByDatabase."""

    def __init__(
        self,
        database: Database,
        *,
        allowed_lateness: timedelta,
        account_id: str | None = None,
        publish_ahead_seconds: float = PUBLISH_AHEAD_SECONDS,
    ) -> None:
        """`account_id` names the only account whose facts it keeps, for connections that do not see all of them.

        The sweepers leave messages alone for `publish_ahead_seconds`: 0 where the caller does not publish them itself.
        """
        self._database = database
        self._allowed_lateness = allowed_lateness
        self._account_id = account_id
        self._publish_ahead_seconds = publish_ahead_seconds

    async def store(self, facts: Sequence[Fact]) -> None:
        """Stores facts and commits. Storing again changes nothing, so a store that breaks off is simply repeated."""
        async with self._connection() as connection:
            await store_facts(connection, facts)

    async def settle(self, facts: Sequence[Fact]) -> Settled:
        """Settles every enrollment that stored facts touch; safe to repeat and to run anywhere at once."""
        settled = Settled()
        touched = await self._touched(facts)
        enrollments = touched.enrollments
        for first in range(0, len(enrollments), MAX_ENROLLMENTS_PER_TRANSACTION):
            chunk = enrollments[first : first + MAX_ENROLLMENTS_PER_TRANSACTION]
            async with self._database.transaction(self._account_id) as connection:
                written, _ = await self._settle(connection, chunk, touched.families)
            settled.changes += written.changes
            settled.messages += written.messages
        return settled

    async def record(self, match: Match) -> Recorded:
        """Stores a match for the one enrollment that it names, settles that one, and tells what became of it.

        Safe to repeat, after an error too. Where the enrollment is not known yet, its start will settle the match.
        """
        await self.store([match])
        touched = await self._touched([match])
        async with self._database.transaction(self._account_id) as connection:
            written, enrollments = await self._settle(connection, touched.enrollments, touched.families)
        if not enrollments:
            return Recorded(verdict=Verdict.NO_ENROLLMENT, achievement=None)
        (enrollment,) = enrollments
        settlement = settle(enrollment.facts, allowed_lateness=self._allowed_lateness)
        recorded = dict(enrollment.recorded)
        recorded.update((change.achievement.goal_id, change.achievement) for change in written.changes)
        return Recorded(verdict=settlement.verdict_on(match), achievement=recorded.get(match.goal_id))

    def _connection(self) -> AbstractAsyncContextManager[Connection]:
        """Statements commit by themselves; those of one account all together, since a transaction names the account."""
        if self._account_id is None:
            return self._database.connection()
        return self._database.transaction(self._account_id)

    async def _touched(self, facts: Sequence[Fact]) -> Touched:
        async with self._connection() as connection:
            touched = await find_touched(connection, facts)
            if touched.families.erased:
                await erase_matches(connection, touched.families.erased)
        return touched

    async def _settle(
        self, connection: Connection, touched: Sequence[Enrollment], families: Families
    ) -> tuple[Settled, Sequence[KnownEnrollment]]:
        """What was written, and the enrollments as they were read before."""
        now, locked_rows = await lock(connection, touched)
        if now is None:
            return Settled(), ()
        if families.erased:
            await erase_recorded(connection, touched, families)
        found: list[Change] = []
        outgoing: list[Message] = []
        rows: list[EnrollmentRow] = []
        also_counted: list[EnrollmentRow] = []
        enrollments = await read(connection, locked_rows)
        for enrollment in enrollments:
            enrollment_changes, row, enrollment_messages = _difference(enrollment, now, self._allowed_lateness)
            found += enrollment_changes
            outgoing += enrollment_messages
            if row != enrollment.row:
                rows.append(row)
            if _counts_elsewhere(row, enrollment.row) or (enrollment_changes and row == enrollment.row):
                also_counted.append(enrollment.row)
        await write_changes(connection, found)
        if rows or also_counted:
            await connection.execute(_UPDATE_ENROLLMENTS, rows, also_counted)
        encoded = await outbox.insert(connection, outgoing, publish_after_seconds=self._publish_ahead_seconds)
        return Settled(changes=found, messages=encoded), enrollments


def _difference(
    enrollment: KnownEnrollment, now: datetime, allowed_lateness: timedelta
) -> tuple[list[Change], EnrollmentRow, list[Message]]:
    """What to write for one enrollment: changes of achievements, its row, and the messages about both."""
    facts, recorded, row = enrollment.facts, enrollment.recorded, enrollment.row
    settlement = settle(facts, allowed_lateness=allowed_lateness)
    start, ended_at, satisfied_by = settlement.known.start, settlement.known.ended_at, settlement.satisfied_by
    exit_is_due = settlement.is_exit_due(row.exited_at)
    found = list(
        changes(
            recorded,
            settlement,
            enrollment_id=row.enrollment_id,
            recorded_at=now,
            end_is_known=ended_at is not None,
            exit_is_due=exit_is_due,
        )
    )
    outgoing = [
        messages.revoked(change.achievement)
        if change.action is Action.REVOKED
        else messages.achieved(change.achievement)
        for change in found
        if change.action is not Action.MOVED
    ]
    exited_at = row.exited_at
    if exit_is_due and satisfied_by is not None:
        now_recorded = dict(recorded) | {change.achievement.goal_id: change.achievement for change in found}
        completing = now_recorded[satisfied_by.match.goal_id]
        outgoing.append(messages.exited(completing))
        exited_at = completing.achieved_at
    settled_row = EnrollmentRow(
        row.account_id,
        row.enrollment_id,
        start.workflow_id if start else None,
        start.contact_id if start else None,
        start.entered_at if start else None,
        ended_at,
        satisfied_by.match.occurred_at if satisfied_by else None,
        exited_at,
    )
    return found, settled_row, outgoing


def _counts_elsewhere(row: EnrollmentRow, before: EnrollmentRow) -> bool:
    """Whether statistics have counted an enrollment by another time of entry, or in another workflow."""
    return (row.workflow_id, row.entered_at) != (before.workflow_id, before.entered_at)
