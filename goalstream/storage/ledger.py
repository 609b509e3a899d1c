"""The ledger: store facts and commit, then settle what they touch and commit. The same two transactions for every fact.

Of two facts that need each other, the one that commits second sees the first: everybody looks after their own commit,
whatever was found before. So nothing is locked that does not exist yet, and a crash in between is repaired by the replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from goalstream.domain import messages
from goalstream.domain.achievements import Action, Change, changes
from goalstream.domain.facts import Fact
from goalstream.domain.messages import EncodedMessage, Message
from goalstream.domain.references import ReferenceChange
from goalstream.domain.settlement import holding_end, holding_start, settle
from goalstream.storage import outbox
from goalstream.storage.achievements import write_changes
from goalstream.storage.codecs import encode_json
from goalstream.storage.enrollments import EnrollmentRow, LockedEnrollment, lock_and_read
from goalstream.storage.facts import Enrollment, store_facts, touched_enrollments
from goalstream.storage.pool import Connection, Database
from goalstream.storage.references import store_references

MAX_ENROLLMENTS_PER_TRANSACTION = 500
"""Bounds how long locks are held; beyond it a transaction gains no speed."""

PUBLISH_AHEAD_SECONDS = 10.0
"""How long the sweepers leave a message to the worker that wrote it, which publishes it at once."""

_UPDATE_ENROLLMENTS = """
update enrollments
   set workflow_id = settled.workflow_id, contact_id = settled.contact_id, entered_at = settled.entered_at,
       ended_at = settled.ended_at, satisfied_at = settled.satisfied_at, exited_at = settled.exited_at
  from json_populate_recordset(null::enrollments, $1) as settled
 where enrollments.account_id = settled.account_id and enrollments.enrollment_id = settled.enrollment_id
"""


@dataclass(slots=True, kw_only=True)
class Settled:
    """What a settlement wrote: the changes of achievements, and the messages about them, now in the outbox."""

    changes: list[Change] = field(default_factory=list)
    messages: list[EncodedMessage] = field(default_factory=list)


class Ledger:
    """Facts and what follows from them. Everything raises DatabaseUnavailable or RefusedByDatabase."""

    def __init__(self, database: Database, *, allowed_lateness: timedelta) -> None:
        self._database = database
        self._allowed_lateness = allowed_lateness

    async def store(self, facts: Sequence[Fact]) -> None:
        """Stores facts and commits. Storing again changes nothing, so a store that breaks off is simply repeated."""
        async with self._database.connection() as connection:
            await store_facts(connection, facts)
            await store_references(connection, (fact for fact in facts if isinstance(fact, ReferenceChange)))

    async def settle(self, facts: Sequence[Fact]) -> Settled:
        """Settles every enrollment that stored facts touch; safe to repeat and to run anywhere at once."""
        settled = Settled()
        async with self._database.connection() as connection:
            touched = await touched_enrollments(connection, facts)
        for first in range(0, len(touched), MAX_ENROLLMENTS_PER_TRANSACTION):
            chunk = touched[first : first + MAX_ENROLLMENTS_PER_TRANSACTION]
            async with self._database.transaction() as connection:
                written = await self._settle(connection, chunk)
            settled.changes += written.changes
            settled.messages += written.messages
        return settled

    async def _settle(self, connection: Connection, touched: Sequence[Enrollment]) -> Settled:
        now, locked = await lock_and_read(connection, touched)
        if now is None:
            return Settled()
        found: list[Change] = []
        outgoing: list[Message] = []
        rows: list[EnrollmentRow] = []
        for enrollment in locked:
            enrollment_changes, row, enrollment_messages = _difference(enrollment, now, self._allowed_lateness)
            found += enrollment_changes
            outgoing += enrollment_messages
            if row != enrollment.row:
                rows.append(row)
        await write_changes(connection, found)
        await _update_enrollments(connection, rows)
        encoded = await outbox.insert(connection, outgoing, publish_after_seconds=PUBLISH_AHEAD_SECONDS)
        return Settled(changes=found, messages=encoded)


def _difference(
    enrollment: LockedEnrollment, now: datetime, allowed_lateness: timedelta
) -> tuple[list[Change], EnrollmentRow, list[Message]]:
    """What to write for one enrollment: changes of achievements, its row, and the messages about both."""
    facts, recorded, row = enrollment.facts, enrollment.recorded, enrollment.row
    settlement = settle(facts, allowed_lateness=allowed_lateness)
    exit_is_due = settlement.satisfied_by is not None and row.exited_at is None and not facts.ends
    found = list(
        changes(
            recorded,
            settlement,
            enrollment_id=row.enrollment_id,
            recorded_at=now,
            end_is_known=bool(facts.ends),
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
    start, end, satisfied_by = holding_start(facts.starts), holding_end(facts.ends), settlement.satisfied_by
    exited_at = row.exited_at
    if exit_is_due and satisfied_by is not None:
        now_recorded = dict(recorded) | {change.achievement.goal_id: change.achievement for change in found}
        completing = now_recorded[satisfied_by.match.goal_id]
        outgoing.append(messages.exited(completing))
        exited_at = completing.achieved_at
    settled_row = EnrollmentRow(
        account_id=row.account_id,
        enrollment_id=row.enrollment_id,
        workflow_id=start.workflow_id if start else None,
        contact_id=start.contact_id if start else None,
        entered_at=start.entered_at if start else None,
        ended_at=end.ended_at if end else None,
        satisfied_at=satisfied_by.match.occurred_at if satisfied_by else None,
        exited_at=exited_at,
    )
    return found, settled_row, outgoing


async def _update_enrollments(connection: Connection, rows: Sequence[EnrollmentRow]) -> None:
    if rows:
        await connection.execute(_UPDATE_ENROLLMENTS, encode_json(rows))
