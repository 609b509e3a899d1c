"""What is there after a run: rows of the tables, messages on the topics, dead letters, and what was left undone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from goalstream.storage.pool import Database
from tests.faults.expectation import AchievementKey
from tests.faults.topics import Partition, Stored
from tests.oracle.history import GoalVersion
from tests.oracle.oracle import Achieved, Enrollment

ACHIEVED, REVOKED, EXIT = "workflow.goal.achieved", "workflow.goal.revoked", "workflow.exit.goal"
CONFIGURED, DEAD_LETTER = "workflow.goal.configured", "goalstream.dead-letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class AchievementRow:
    """A row of `achievements`."""

    key: AchievementKey
    achieved: Achieved
    revision: int
    is_valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What goalstream has published; the topic without its prefix."""

    topic: str
    message_id: str
    key: str
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body, read."""
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything that a judge looks at."""

    rows: Sequence[AchievementRow] = ()
    satisfied: dict[Enrollment, datetime] = field(default_factory=dict)
    exited: dict[Enrollment, datetime] = field(default_factory=dict)
    messages: Sequence[Message] = ()
    dead_letters: Sequence[Stored] = ()
    topic_prefix: str = ""
    left_in_outbox: int = 0
    lags: Mapping[Partition, int] = field(default_factory=dict)


async def tables(database: Database) -> Evidence:
    """What the tables say; the rest is to be filled in."""
    async with database.transaction() as connection:
        rows = await connection.fetch(
            """select account_id::text, enrollment_id::text, goal_id::text, event_id, source, achieved_at, goal_version,
                      contact_id::text, match_contact_id::text, revision, revoked_at is null as is_valid
                 from achievements"""
        )
        enrollments = await connection.fetch(
            """select account_id::text, enrollment_id::text, satisfied_at, exited_at from enrollments
                where satisfied_at is not null or exited_at is not null"""
        )
        left = await connection.fetchval("select count(*) from outbox")
    return Evidence(
        rows=[
            AchievementRow(
                key=(row["account_id"], row["enrollment_id"], row["goal_id"]),
                achieved=Achieved(
                    event_id=row["event_id"],
                    source=row["source"],
                    occurred_at=row["achieved_at"],
                    goal_version=row["goal_version"],
                    contact_id=row["contact_id"],
                    match_contact_id=row["match_contact_id"],
                ),
                revision=row["revision"],
                is_valid=row["is_valid"],
            )
            for row in rows
        ],
        satisfied={(row[0], row[1]): row[2] for row in enrollments if row[2] is not None},
        exited={(row[0], row[1]): row[3] for row in enrollments if row[3] is not None},
        left_in_outbox=left,
    )


def messages(stored: Iterable[Stored]) -> list[Message]:
    """Published messages as Kafka holds them."""
    return [
        Message(
            topic=one.record.topic,
            message_id=(dict(one.record.headers).get("ce_id") or b"").decode(),
            key=(one.record.key or b"").decode(),
            body=one.record.value or b"",
        )
        for one in stored
    ]


async def goal_versions(database: Database) -> list[GoalVersion]:
    """Every goal version ever accepted, in the oracle's words."""
    async with database.transaction() as connection:
        rows = await connection.fetch("select * from goal_versions order by change_id")
    return [
        GoalVersion(
            account_id=str(row["account_id"]),
            workflow_id=str(row["workflow_id"]),
            goal_id=str(row["goal_id"]),
            version=row["version"],
            goal_type=row["goal_type"],
            criteria=json.loads(row["criteria"]),
            is_active=row["is_active"],
            is_deleted=row["is_deleted"],
            window=None if row["window_seconds"] is None else timedelta(seconds=row["window_seconds"]),
            measure_after_exit=timedelta(seconds=row["measure_after_exit_seconds"]),
            effective_from=row["effective_from"],
            created_at=row["goal_created_at"],
        )
        for row in rows
    ]
