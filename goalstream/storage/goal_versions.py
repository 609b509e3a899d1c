"""Goals in their newest version: read, and written with the audit entry and the message that tell of the change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goalstream.domain import messages
from goalstream.domain.goals import GoalVersion, criteria_document, criteria_key
from goalstream.domain.messages import goal_document
from goalstream.storage import codecs, outbox
from goalstream.storage.pool import Connection, Row

# `offset 0` has each version looked up by its key: a join may be planned to read all versions of the account.
_NEWEST = """
select newest.*, goals.created_by
  from goals
 cross join lateral (
       select * from goal_versions
        where goal_versions.account_id = goals.account_id and goal_versions.goal_id = goals.goal_id
          and goal_versions.version = goals.version
       offset 0) as newest
 where goals.account_id = $1 and goals.workflow_id = $2 and goals.deleted_at is null
   and ($3::timestamptz is null or (goals.created_at, goals.goal_id) > ($3, $4::uuid))
 order by goals.created_at, goals.goal_id
offset $5 limit $6
"""

_INSERT_GOAL = """
insert into goals (account_id, goal_id, workflow_id, goal_type, criteria_key, version, created_at, created_by)
values ($1, $2, $3, $4, $5, $6, $7, $8)
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


def goal_of(row: Row, *, created_by: str) -> Goal:
    """A goal in the version that a row of `goal_versions` holds."""
    return Goal(
        version=codecs.goal_version(row),
        created_by=created_by,
        updated_at=row["written_at"],
        updated_by=row["written_by"],
    )


async def newest_goals(
    connection: Connection,
    account_id: str,
    workflow_id: str,
    *,
    after: tuple[datetime, str] | None = None,
    offset: int = 0,
    limit: int | None = None,
) -> list[Goal]:
    """A workflow's goals that are not deleted, in the order of creation: all, or some after a (created_at, goal id)."""
    rows = await connection.fetch(_NEWEST, account_id, workflow_id, *(after or (None, None)), offset, limit)
    return [goal_of(row, created_by=row["created_by"]) for row in rows]


async def insert_goal(connection: Connection, goal: Goal) -> None:
    """Writes a goal in its first version."""
    version = goal.version
    await connection.execute(
        _INSERT_GOAL,
        version.account_id,
        version.goal_id,
        version.workflow_id,
        version.goal_type.value,
        criteria_key(version.criteria),
        version.version,
        version.created_at,
        goal.created_by,
    )
    await _record(connection, goal, before=None, action="created")


async def insert_next_version(connection: Connection, goal: Goal, *, before: Goal) -> None:
    """Writes the version of a goal that comes after `before`, perhaps its last."""
    version = goal.version
    await connection.execute(
        _UPDATE_GOAL,
        version.account_id,
        version.goal_id,
        version.version,
        criteria_key(version.criteria),
        goal.updated_at if version.is_deleted else None,
    )
    await _record(connection, goal, before=before, action="deleted" if version.is_deleted else "changed")


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
