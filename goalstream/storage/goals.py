"""Goal configuration: written under a lock that makes every change provable, read by the API and by the workers.

A change takes effect a moment after it is accepted. Writers take the lock before they read the clock, and commit at once;
a worker's refresh takes it shared and reads the clock afterwards: so it has seen every change accepted before that time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from goalstream.domain import messages
from goalstream.domain.goals import Criteria, GoalType, GoalVersion, criteria_document, criteria_key
from goalstream.domain.messages import goal_document
from goalstream.errors import DuplicateGoal, GoalLimitExceeded, GoalNotFound, StaleVersion
from goalstream.storage import codecs, outbox
from goalstream.storage.pool import Connection, Database, Row

LOCK = 0x676F616C73
"""Advisory lock ("goals") between those who change goals and the workers that read the changes."""

WRITE_TIMEOUT = "2s"
"""A writer holds the lock for milliseconds; whoever waits longer for it is told to try again."""

_LOCK_FOR_WRITING = f"""
select set_config('lock_timeout', '{WRITE_TIMEOUT}', true), set_config('statement_timeout', '{WRITE_TIMEOUT}', true),
       pg_advisory_xact_lock({LOCK})
"""

_NEWEST = """
select goal_versions.*, goals.created_by
  from goals
  join goal_versions on goal_versions.account_id = goals.account_id and goal_versions.goal_id = goals.goal_id
   and goal_versions.version = goals.version
 where goals.account_id = $1 and goals.workflow_id = $2 and goals.deleted_at is null
"""

_INSERT_GOAL = """
insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at, created_by)
values ($1, $2, $3, $4, $5, 1, $6, $7)
"""

_UPDATE_GOAL = """
update goals set version = $3, criteria_key = $4, deleted_at = $5 where account_id = $1 and goal_id = $2
"""

_INSERT_VERSION = """
insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active, is_deleted,
                           window_seconds, measure_after_exit_seconds, effective_from, goal_created_at, written_at,
                           written_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""

_INSERT_AUDIT = """
insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, before, after, effective_from)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The newest version of a goal, which may not be in force yet, with who made it and when."""

    version: GoalVersion
    created_by: str
    updated_at: datetime
    updated_by: str

    def document(self) -> dict[str, Any]:
        """The goal as the API and the topic show it."""
        return goal_document(self.version) | {
            "effective_from": self.version.effective_from,
            "created_at": self.version.created_at,
            "updated_at": self.updated_at,
            "created_by": self.created_by,
            "updated_by": self.updated_by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalPage:
    """Some of a workflow's goals, in the order of creation; `total` counts all of them."""

    goals: Sequence[Goal]
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalChanges:
    """Goal versions accepted since a change, complete up to the database's `clock`."""

    clock: datetime
    last_change_id: int
    versions: Sequence[GoalVersion]


class GoalBook:
    """The goals of one account. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(
        self, database: Database, *, account_id: str, activation_delay: timedelta, max_goals_per_workflow: int
    ) -> None:
        self._database = database
        self._account_id = account_id
        self._activation_delay = activation_delay
        self._max_goals_per_workflow = max_goals_per_workflow

    async def create(
        self,
        workflow_id: str,
        *,
        goal_type: GoalType,
        criteria: Criteria,
        window: timedelta | None,
        measure_after_exit: timedelta,
        actor: str,
    ) -> Goal:
        """A new goal in its first version. Raises GoalLimitExceeded or DuplicateGoal."""
        async with self._database.transaction(self._account_id) as connection:
            now = await _lock(connection)
            others = await self._newest(connection, workflow_id)
            if len(others) >= self._max_goals_per_workflow:
                raise GoalLimitExceeded(self._max_goals_per_workflow)
            _refuse_duplicate(others, goal_type, criteria)
            version = GoalVersion(
                account_id=self._account_id,
                workflow_id=workflow_id,
                goal_id=str(uuid4()),
                version=1,
                goal_type=goal_type,
                criteria=criteria,
                is_active=True,
                is_deleted=False,
                window=window,
                measure_after_exit=measure_after_exit,
                effective_from=now + self._activation_delay,
                created_at=now,
            )
            await connection.execute(
                _INSERT_GOAL,
                version.account_id,
                version.goal_id,
                workflow_id,
                goal_type.value,
                criteria_key(criteria),
                now,
                actor,
            )
            goal = Goal(version=version, created_by=actor, updated_at=now, updated_by=actor)
            await _record(connection, goal, before=None, action="created")
            return goal

    async def change(
        self, workflow_id: str, goal_id: str, changes: Mapping[str, Any], *, expected_version: int | None, actor: str
    ) -> Goal:
        """The goal's next version with some of `criteria, is_active, window, measure_after_exit` changed.

        The same version when nothing changes. `expected_version` of None accepts any. Raises GoalNotFound, StaleVersion
        or DuplicateGoal.
        """
        async with self._database.transaction(self._account_id) as connection:
            now = await _lock(connection)
            before, others = await self._find(connection, workflow_id, goal_id, expected_version)
            wanted = replace(before.version, **changes)
            if wanted == before.version:
                return before
            _refuse_duplicate(others, wanted.goal_type, wanted.criteria)
            return await self._next(connection, before, wanted, now=now, action="changed", actor=actor)

    async def delete(self, workflow_id: str, goal_id: str, *, expected_version: int | None, actor: str) -> Goal:
        """The goal's last version, deleted: achievements and history stay. Raises GoalNotFound or StaleVersion."""
        async with self._database.transaction(self._account_id) as connection:
            now = await _lock(connection)
            before, _ = await self._find(connection, workflow_id, goal_id, expected_version)
            wanted = replace(before.version, is_deleted=True, is_active=False)
            return await self._next(connection, before, wanted, now=now, action="deleted", actor=actor)

    async def get(self, workflow_id: str, goal_id: str) -> Goal:
        """The goal in its newest version. Raises GoalNotFound."""
        async with self._database.transaction(self._account_id) as connection:
            goal, _ = await self._find(connection, workflow_id, goal_id, None)
            return goal

    async def page(
        self, workflow_id: str, *, limit: int, offset: int = 0, after: tuple[datetime, str] | None = None
    ) -> GoalPage:
        """Up to `limit` goals of a workflow: from an offset, or after the (created_at, goal id) of the last one seen."""
        async with self._database.transaction(self._account_id) as connection:
            total = await connection.fetchval(
                "select count(*) from goals where account_id = $1 and workflow_id = $2 and deleted_at is null",
                self._account_id,
                workflow_id,
            )
            rows = await connection.fetch(
                _NEWEST
                + """and ($3::timestamptz is null or (goals.created_at, goals.goal_id) > ($3, $4::uuid))
                     order by goals.created_at, goals.goal_id offset $5 limit $6""",
                self._account_id,
                workflow_id,
                *(after or (None, None)),
                offset,
                limit + 1,
            )
            return GoalPage(goals=[_goal(row) for row in rows[:limit]], total=total, has_more=len(rows) > limit)

    async def _newest(self, connection: Connection, workflow_id: str) -> list[Goal]:
        return [_goal(row) for row in await connection.fetch(_NEWEST, self._account_id, workflow_id)]

    async def _find(
        self, connection: Connection, workflow_id: str, goal_id: str, expected_version: int | None
    ) -> tuple[Goal, list[Goal]]:
        """The goal, and the other goals of its workflow."""
        goals = await self._newest(connection, workflow_id)
        goal = next((goal for goal in goals if goal.version.goal_id == goal_id), None)
        if goal is None:
            raise GoalNotFound(f"There is no goal {goal_id} in workflow {workflow_id}")
        if expected_version is not None and expected_version != goal.version.version:
            raise StaleVersion(goal.version.version)
        return goal, [other for other in goals if other is not goal]

    async def _next(
        self, connection: Connection, before: Goal, wanted: GoalVersion, *, now: datetime, action: str, actor: str
    ) -> Goal:
        version = replace(
            wanted,
            version=before.version.version + 1,
            effective_from=max(now + self._activation_delay, before.version.effective_from + timedelta(microseconds=1)),
        )
        goal = Goal(version=version, created_by=before.created_by, updated_at=now, updated_by=actor)
        await connection.execute(
            _UPDATE_GOAL,
            version.account_id,
            version.goal_id,
            version.version,
            criteria_key(version.criteria),
            now if version.is_deleted else None,
        )
        await _record(connection, goal, before=before, action=action)
        return goal


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


async def _lock(connection: Connection) -> datetime:
    """Takes the lock, and then reads the clock: never the transaction's start, which lies before the lock."""
    await connection.execute(_LOCK_FOR_WRITING)
    now = await connection.fetchval("select clock_timestamp()")
    assert isinstance(now, datetime)  # noqa: S101 - narrows the driver's Any
    return now


async def _record(connection: Connection, goal: Goal, *, before: Goal | None, action: str) -> None:
    """Writes a version, its audit entry, and the message that announces it."""
    version = goal.version
    await connection.execute(
        _INSERT_VERSION,
        version.account_id,
        version.goal_id,
        version.version,
        version.workflow_id,
        version.goal_type.value,
        codecs.encode_json(criteria_document(version.criteria)),
        version.is_active,
        version.is_deleted,
        None if version.window is None else int(version.window.total_seconds()),
        int(version.measure_after_exit.total_seconds()),
        version.effective_from,
        version.created_at,
        goal.updated_at,
        goal.updated_by,
    )
    await connection.execute(
        _INSERT_AUDIT,
        version.account_id,
        goal.updated_at,
        goal.updated_by,
        f"goal_{action}",
        version.workflow_id,
        version.goal_id,
        version.version,
        None if before is None else codecs.encode_json(before.document()),
        codecs.encode_json(goal.document()),
        version.effective_from,
    )
    announcement = messages.configured(goal.document(), version, goal.updated_at)
    await outbox.insert(connection, [announcement], publish_after_seconds=0)


def _refuse_duplicate(others: Sequence[Goal], goal_type: GoalType, criteria: Criteria) -> None:
    key = criteria_key(criteria)
    for other in others:
        if other.version.goal_type is goal_type and criteria_key(other.version.criteria) == key:
            raise DuplicateGoal(other.version.goal_id)


def _goal(row: Row) -> Goal:
    return Goal(
        version=codecs.goal_version(row),
        created_by=row["created_by"],
        updated_at=row["written_at"],
        updated_by=row["written_by"],
    )
