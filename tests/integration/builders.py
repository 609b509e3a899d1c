"""Facts and goals in a real database, with defaults for what a test is not about."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentStart,
    Fact,
    GoalLogic,
    Match,
    WorkflowStatus,
)
from goalstream.domain.goals import Criteria, GoalVersion, TagCriteria
from goalstream.domain.messages import EncodedMessage
from goalstream.domain.references import ReferenceChange, ReferenceKind
from goalstream.storage.goals import GoalBook
from goalstream.storage.ledger import Ledger, Settled
from goalstream.storage.pool import Database
from tests.oracle import history

LATENESS = timedelta(hours=72)


def new_id() -> str:
    """A UUID that no other test knows."""
    return str(uuid4())


@dataclass
class World:
    """One account with a workflow, its goals, and a contact that is enrolled in it."""

    database: Database
    account_id: str = field(default_factory=new_id)
    workflow_id: str = field(default_factory=new_id)
    contact_id: str = field(default_factory=new_id)
    enrollment_id: str = field(default_factory=new_id)
    now: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(seconds=1))
    goals: list[GoalVersion] = field(default_factory=list)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.database, allowed_lateness=LATENESS)

    @property
    def book(self) -> GoalBook:
        return GoalBook(
            self.database, account_id=self.account_id, activation_delay=timedelta(0), max_goals_per_workflow=3
        )

    async def add_goal(self, criteria: Criteria | None = None, **changes: Any) -> GoalVersion:
        """A goal that has been in force for ten days."""
        values: dict[str, Any] = {"window": None, "measure_after_exit": timedelta(0)} | changes
        name = f"tag-{len(self.goals)}"
        goal = await self.book.create(
            self.workflow_id,
            goal_type=_type_of(criteria),
            criteria=criteria or TagCriteria(tag_name=name),
            actor="test",
            **values,
        )
        async with self.database.transaction() as connection:
            await connection.execute(
                """update goal_versions set effective_from = effective_from - interval '10 days',
                          goal_created_at = goal_created_at - interval '10 days' where goal_id = $1""",
                goal.version.goal_id,
            )
        self.goals.append(goal.version)
        return goal.version

    def start(self, **changes: Any) -> EnrollmentStart:
        """The enrollment began two days ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "enrollment_id": self.enrollment_id,
            "workflow_id": self.workflow_id,
            "contact_id": self.contact_id,
            "entered_at": self.now - timedelta(days=2),
            "trigger_event_id": None,
            "source": "workflow.enrollment.started",
            "event_id": "start-1",
            "record_at": self.now,
        }
        return EnrollmentStart(**(values | changes))

    def end(self, **changes: Any) -> EnrollmentEnd:
        """The enrollment ended now."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "enrollment_id": self.enrollment_id,
            "ended_at": self.now,
            "reason": None,
            "source": "workflow.enrollment.ended",
            "event_id": "end-1",
            "record_at": self.now,
        }
        return EnrollmentEnd(**(values | changes))

    def match(self, goal: GoalVersion, **changes: Any) -> Match:
        """The contact did what a goal asks for, an hour ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "contact_id": self.contact_id,
            "workflow_id": self.workflow_id,
            "goal_id": goal.goal_id,
            "goal_version": goal.version,
            "goal_type": goal.goal_type,
            "source": "contact.tag.added",
            "event_id": "event-1",
            "event_type": "contact.tag.added",
            "occurred_at": self.now - timedelta(hours=1),
            "occurred_at_source": "event",
            "clock_ahead": False,
            "record_at": self.now,
            "data": f'{{"contact_id":"{self.contact_id}"}}',
        }
        return Match(**(values | changes))

    def status(self, status: str = "active", goal_logic: GoalLogic | None = None, **changes: Any) -> WorkflowStatus:
        """The workflow's status since three days ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "workflow_id": self.workflow_id,
            "name": "Spring promo",
            "status": status,
            "goal_logic": goal_logic,
            "occurred_at": self.now - timedelta(days=3),
            "source": "workflow.status.changed",
            "event_id": "status-1",
            "record_at": self.now,
        }
        return WorkflowStatus(**(values | changes))

    def merge(self, contact_id: str, into_contact_id: str, **changes: Any) -> ContactMerge:
        """Contacts were merged two hours ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "contact_id": contact_id,
            "into_contact_id": into_contact_id,
            "occurred_at": self.now - timedelta(hours=2),
            "source": "contact.merged",
            "event_id": "merge-1",
            "record_at": self.now,
        }
        return ContactMerge(**(values | changes))

    def deletion(self, contact_id: str, **changes: Any) -> ContactDeletion:
        """A contact was deleted half an hour ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "contact_id": contact_id,
            "occurred_at": self.now - timedelta(minutes=30),
            "source": "contact.deleted",
            "event_id": "deletion-1",
            "record_at": self.now,
        }
        return ContactDeletion(**(values | changes))

    async def forget(self) -> None:
        """Removes everything that was told, and what followed from it; goals stay."""
        async with self.database.transaction() as connection:
            await connection.execute(
                """delete from matches; delete from enrollment_starts; delete from enrollment_ends; delete from enrollments;
                   delete from workflow_statuses; delete from contact_merges; delete from contact_deletions;
                   delete from achievements; delete from outbox; delete from audit"""
            )

    def reference(self, kind: str, reference_id: str, **changes: Any) -> ReferenceChange:
        """The reference exists since an hour ago."""
        values: dict[str, Any] = {
            "account_id": self.account_id,
            "name": None,
            "parent_id": None,
            "is_deleted": False,
            "occurred_at": self.now - timedelta(hours=1),
            "source": "crm.reference.changed",
            "event_id": "reference-1",
            "record_at": self.now,
            "payload": "{}",
        }
        return ReferenceChange(kind=ReferenceKind(kind), reference_id=reference_id, **(values | changes))

    async def tell(self, *facts: Fact) -> Settled:
        """Stores facts and settles them, as the worker does."""
        await self.ledger.store(facts)
        return await self.ledger.settle(facts)

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """What a query finds."""
        async with self.database.transaction() as connection:
            return [dict(row) for row in await connection.fetch(query)]

    async def state(self) -> list[tuple[Any, ...]]:
        """What is recorded, without what tells about the moment of recording."""
        found = await self.rows(
            """select enrollment_id::text, goal_id::text, goal_version, achieved_at, event_id, contact_id::text,
                      revoked_at is null as valid
                 from achievements order by 1, 2"""
        )
        return [tuple(row.values()) for row in found if row["valid"]]


async def put_goal_versions(database: Database, versions: Iterable[history.GoalVersion]) -> None:
    """Puts goal versions where they would be, had they been accepted at their time."""
    rows = [
        (
            version.account_id,
            version.goal_id,
            version.version,
            version.workflow_id,
            version.goal_type,
            _criteria_json(version.criteria),
            version.is_active,
            version.is_deleted,
            None if version.window is None else int(version.window.total_seconds()),
            int(version.measure_after_exit.total_seconds()),
            version.effective_from,
            version.created_at,
        )
        for version in sorted(versions, key=lambda version: version.version)
    ]
    async with database.transaction() as connection:
        await connection.executemany(
            """insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at, created_by)
               values ($1, $2, $3, $4, $2::uuid::text, $5, $6, 'test')
               on conflict (account_id, goal_id) do update set version = excluded.version""",
            [
                (account, goal, workflow, kind, number, row[-1])
                for row in rows
                for account, goal, number, workflow, kind in [row[:5]]
            ],
        )
        await connection.executemany(
            """insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active,
                                          is_deleted, window_seconds, measure_after_exit_seconds, effective_from,
                                          goal_created_at, written_at, written_by)
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, 'test')""",
            rows,
        )


def _criteria_json(criteria: Mapping[str, object]) -> str:
    """Numbers keep the digits that the oracle gives them."""
    return json.dumps({name: str(value) if name == "min_amount" else value for name, value in criteria.items()})


def topics(messages: list[EncodedMessage]) -> list[str]:
    """The topics of messages, sorted."""
    return sorted(message.topic for message in messages)


def _type_of(criteria: Criteria | None) -> Any:
    from goalstream.domain.goals import CRITERIA_OF, GoalType

    if criteria is None:
        return GoalType.TAG_ADDED
    return next(goal_type for goal_type, kind in CRITERIA_OF.items() if isinstance(criteria, kind))
