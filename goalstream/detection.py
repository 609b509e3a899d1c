"""The in-process face: the platform's own code asks what an event would do, and records achievements by itself.

Both go the way of the stream: the same criteria, the same walk, the same ledger and outbox. Ids are `str` or `UUID`, times
RFC 3339 or `datetime` (without an offset: UTC), documents what JSON knows; a float stands for the digits it is written with.
All else is a ValueError that names it. While PostgreSQL is away, everything raises DatabaseUnavailable and may be called again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from goalstream.domain import arguments
from goalstream.domain.arguments import ToldEvent, id_argument, object_argument, time_argument, value_errors
from goalstream.domain.documents import GoalAchievement
from goalstream.domain.evaluation import Candidate, Evaluation, evaluate
from goalstream.domain.events import Outline
from goalstream.domain.facts import Match
from goalstream.domain.fields import text_field
from goalstream.domain.goal_table import GoalTable
from goalstream.domain.goals import GoalType
from goalstream.domain.messages import achievement_document
from goalstream.domain.occurrences import read_occurrence
from goalstream.domain.settlement import Verdict
from goalstream.errors import NotEligible
from goalstream.storage.achievements import achieved_by
from goalstream.storage.codecs import canonical_json, decode_json, digest, encode_json
from goalstream.storage.enrollments import look_up, read
from goalstream.storage.ledger import Ledger
from goalstream.storage.migrate import require_current
from goalstream.storage.pool import Connection, Database
from goalstream.storage.touched import find_touched
from goalstream.storage.workflow_goals import read_all_goals, read_goals

SOURCE = "api"
"""The source of what is recorded here; the stream's events have their topics, or what CloudEvents say."""

Id = str | UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What `connect` opens: connections that see one account at a time, and the lateness by which matches are judged."""

    database: Database
    allowed_lateness: timedelta

    def ledger(self, account_id: str) -> Ledger:
        """The ledger of one account; the workers' sweepers publish its messages."""
        return Ledger(
            self.database, allowed_lateness=self.allowed_lateness, account_id=account_id, publish_ahead_seconds=0
        )


@asynccontextmanager
async def connect(
    database_url: str, *, pool_size: int = 4, allowed_lateness: timedelta = timedelta(hours=72)
) -> AsyncIterator[Storage]:
    """At most `pool_size` connections for one event loop, closed at the end.

    `allowed_lateness` must be the workers' `GOALSTREAM_ALLOWED_LATENESS_SECONDS`: it decides which facts are in time. Raises
    DatabaseUnavailable when PostgreSQL is away or not migrated.
    """
    await require_current(database_url)
    database = Database(database_url, size=pool_size)
    try:
        yield Storage(database=database, allowed_lateness=allowed_lateness)
    finally:
        await database.close()


class GoalDetectionService:
    """What would an event do? Asked without telling it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def evaluate_event(
        self,
        *,
        workflow_id: Id,
        contact_id: Id,
        account_id: Id,
        event_type: str,
        event_data: Mapping[str, Any],
        occurred_at: datetime | str | None = None,
        event_id: Id | None = None,
    ) -> Evaluation:
        """What would happen in one workflow if this event reached its topic now; reads only, in one snapshot.

        It is judged for every enrollment of the contact, under whatever id merges left it. `occurred_at` is now where it is
        missing or later, `event_id` a hash of the event. A goal's change that is being accepted at this moment may be missed.
        """
        with value_errors():
            account, workflow = id_argument(account_id, "account_id"), id_argument(workflow_id, "workflow_id")
            contact, data = id_argument(contact_id, "contact_id"), object_argument(event_data, "event_data")
            kind = arguments.event_type_argument(event_type)
            told_at = time_argument(occurred_at, "occurred_at")
            told_id = arguments.event_id_argument(event_id, "event_id")
            event = ToldEvent(
                contact_id=contact,
                source=kind,
                event_id=told_id or digest(kind, account, contact, told_at, data),
                event_type=kind,
                told_at=told_at,
                data=canonical_json(data),
            )
            occurrence = read_occurrence(kind, data)
        async with self._storage.database.snapshot(account) as connection:
            goals = await read_goals(connection, account, workflow)
            moment = event.occurred_at(goals.clock)
            table = GoalTable()
            table.add(goals.versions)
            versions = table.match(Outline(kind, account, moment, occurrence))
            matches = [event.match(version, goals.clock) for version in versions]
            candidates = await _candidates(connection, matches)
        lateness = self._storage.allowed_lateness
        return evaluate(goals.versions, matches, candidates, occurred_at=moment, allowed_lateness=lateness)


class GoalAchievementService:
    """Records that a goal was achieved, where the platform's own code knows it."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    async def record_achievement(
        self,
        *,
        workflow_id: Id,
        workflow_enrollment_id: Id,
        contact_id: Id,
        goal_config_id: Id,
        account_id: Id,
        goal_type: GoalType | str,
        trigger_event: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> GoalAchievement:
        """The achievement of a goal by an enrollment, recorded now or before, by whichever event.

        The criteria are not asked; everything else is, as for an event of the stream. `trigger_event` may tell `event_id`
        (else a hash of enrollment, goal and trigger event), `event_type` (else that of the goal's type), `occurred_at` or
        `timestamp` (now where it is missing or later), and `data` (else all the rest of it). What is kept as the event's
        data names this contact as `contact_id`, and holds `metadata` if any is given. The workers publish what follows.

        Raises NotEligible: `no_goal` where the workflow has no such goal of this type, `goal_not_in_force` at that time, or
        the verdict of the walk. What a verdict refuses is stored all the same, and counts once later facts allow it.
        """
        with value_errors():
            account, workflow = id_argument(account_id, "account_id"), id_argument(workflow_id, "workflow_id")
            contact, goal = id_argument(contact_id, "contact_id"), id_argument(goal_config_id, "goal_config_id")
            enrollment = id_argument(workflow_enrollment_id, "workflow_enrollment_id")
            kind = arguments.goal_type_argument(goal_type)
            trigger = object_argument(trigger_event, "trigger_event")
            kept = {"contact_id": contact} | ({"metadata": object_argument(metadata, "metadata")} if metadata else {})
            event = _trigger(trigger, kept, contact, kind, default_id=digest(enrollment, goal, trigger))
        async with self._storage.database.transaction(account) as connection:
            goals = await read_all_goals(connection, account, workflow)
            if event.told_at is None:  # what achieved the goal already happened then, however often it is told
                told_at = await achieved_by(connection, (account, enrollment), goal, SOURCE, event.event_id)
                event = replace(event, told_at=told_at)
        version = arguments.version_in_force(goals.versions, goal, kind, event.occurred_at(goals.clock))
        recorded = await self._storage.ledger(account).record(
            event.match(version, goals.clock, enrollment_id=enrollment)
        )
        if recorded.achievement is None or recorded.verdict not in (Verdict.ACHIEVED, Verdict.ALREADY_ACHIEVED):
            raise NotEligible(recorded.verdict.value)
        return cast(GoalAchievement, decode_json(encode_json(achievement_document(recorded.achievement))))


async def _candidates(connection: Connection, matches: Sequence[Match]) -> list[Candidate]:
    """Whom matches may count for, read as settlement reads it, without its lock."""
    touched = await find_touched(connection, matches)
    if not touched.enrollments:
        return []
    found = await read(connection, await look_up(connection, touched.enrollments), hypothetical=matches)
    return [Candidate(facts=enrollment.facts, exited_at=enrollment.row.exited_at) for enrollment in found]


def _trigger(
    trigger: dict[str, Any], kept: dict[str, Any], contact_id: str, goal_type: GoalType, *, default_id: str
) -> ToldEvent:
    """The event of a trigger event; `kept` is added to its data."""
    told_at = time_argument(trigger.get("occurred_at"), "trigger_event.occurred_at")
    return ToldEvent(
        contact_id=contact_id,
        source=SOURCE,
        event_id=arguments.event_id_argument(trigger.get("event_id"), "trigger_event.event_id") or default_id,
        event_type=text_field(trigger.get("event_type"), "trigger_event.event_type") or goal_type.event_type,
        told_at=told_at or time_argument(trigger.get("timestamp"), "trigger_event.timestamp"),
        data=canonical_json(arguments.data_argument(trigger) | kept),
    )
