"""A workflow's goals: created, changed, deleted and shown, under the rules that hold between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from goalstream.domain.goals import Criteria, GoalType, GoalVersion, criteria_key
from goalstream.domain.references import missing_references
from goalstream.errors import (
    DuplicateGoal,
    GoalLimitExceeded,
    GoalNotFound,
    Problem,
    ReferenceNotFound,
    StaleVersion,
)
from goalstream.storage.goal_changes import lock_for_writing
from goalstream.storage.goal_versions import Goal, insert_goal, insert_next_version, newest_goals
from goalstream.storage.pool import Connection, Transactions
from goalstream.storage.references import known_references


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalPage:
    """Some of a workflow's goals, in the order of creation; `total` counts all of them."""

    goals: Sequence[Goal]
    total: int
    has_more: bool


class GoalBook:
    """The goals of one account. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(
        self, database: Transactions, *, account_id: str, activation_delay: timedelta, max_goals_per_workflow: int
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
        """A new goal in its first version. Raises ReferenceNotFound, GoalLimitExceeded or DuplicateGoal."""
        async with self._database.transaction(self._account_id) as connection:
            now = await lock_for_writing(connection)
            await self._refuse_missing_references(connection, criteria)
            others = await newest_goals(connection, self._account_id, workflow_id)
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
            goal = Goal(version=version, created_by=actor, updated_at=now, updated_by=actor)
            await insert_goal(connection, goal)
            return goal

    async def change(
        self, workflow_id: str, goal_id: str, changes: Mapping[str, Any], *, expected_version: int | None, actor: str
    ) -> Goal:
        """The goal's next version with some of `criteria, is_active, window, measure_after_exit` changed.

        The same version when nothing changes. `expected_version` of None accepts any. Criteria that stay as they are
        may name what was deleted meanwhile. Raises GoalNotFound, StaleVersion, ReferenceNotFound or DuplicateGoal.
        """
        async with self._database.transaction(self._account_id) as connection:
            now = await lock_for_writing(connection)
            before, others = await self._find(connection, workflow_id, goal_id, expected_version)
            wanted = replace(before.version, **changes)
            if wanted == before.version:
                return before
            if wanted.criteria != before.version.criteria:
                await self._refuse_missing_references(connection, wanted.criteria)
            _refuse_duplicate(others, wanted.goal_type, wanted.criteria)
            return await self._write_next(connection, before, wanted, now=now, actor=actor)

    async def delete(self, workflow_id: str, goal_id: str, *, expected_version: int | None, actor: str) -> Goal:
        """The goal's last version, deleted: achievements and history stay. Raises GoalNotFound or StaleVersion."""
        async with self._database.transaction(self._account_id) as connection:
            now = await lock_for_writing(connection)
            before, _ = await self._find(connection, workflow_id, goal_id, expected_version)
            wanted = replace(before.version, is_deleted=True, is_active=False)
            return await self._write_next(connection, before, wanted, now=now, actor=actor)

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
            found = await newest_goals(
                connection, self._account_id, workflow_id, after=after, offset=offset, limit=limit + 1
            )
            return GoalPage(goals=found[:limit], total=total, has_more=len(found) > limit)

    async def _find(
        self, connection: Connection, workflow_id: str, goal_id: str, expected_version: int | None
    ) -> tuple[Goal, list[Goal]]:
        """The goal, and the other goals of its workflow."""
        goals = await newest_goals(connection, self._account_id, workflow_id)
        goal = next((goal for goal in goals if goal.version.goal_id == goal_id), None)
        if goal is None:
            raise GoalNotFound(f"There is no goal {goal_id} in workflow {workflow_id}")
        if expected_version is not None and expected_version != goal.version.version:
            raise StaleVersion(goal.version.version)
        return goal, [other for other in goals if other is not goal]

    async def _refuse_missing_references(self, connection: Connection, criteria: Criteria) -> None:
        missing = missing_references(criteria, await known_references(connection, self._account_id, [criteria]))
        if missing:
            raise ReferenceNotFound(
                *(Problem(f"/criteria/{kind.criteria_key}", f"Referenced {kind} does not exist") for kind in missing)
            )

    async def _write_next(
        self, connection: Connection, before: Goal, wanted: GoalVersion, *, now: datetime, actor: str
    ) -> Goal:
        version = replace(
            wanted,
            version=before.version.version + 1,
            effective_from=max(now + self._activation_delay, before.version.effective_from + timedelta(microseconds=1)),
        )
        goal = Goal(version=version, created_by=before.created_by, updated_at=now, updated_by=actor)
        await insert_next_version(connection, goal, before=before)
        return goal


def _refuse_duplicate(others: Sequence[Goal], goal_type: GoalType, criteria: Criteria) -> None:
    key = criteria_key(criteria)
    for other in others:
        if other.version.goal_type is goal_type and criteria_key(other.version.criteria) == key:
            raise DuplicateGoal(other.version.goal_id)
