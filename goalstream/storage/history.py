"""What became of a workflow's goals: their versions, and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from goalstream.errors import GoalNotFound
from goalstream.storage.codecs import decode_json
from goalstream.storage.goal_versions import goal_of
from goalstream.storage.pool import Database, Row

_LAST_VERSION = (1 << 31) - 1
_LAST_ENTRY = (1 << 63) - 1
"""Numbers that no version and no entry has: a condition that is always there goes through the index."""

AuditKind = Literal["configuration", "achievements"]

_VERSIONS = """
select * from goal_versions
 where account_id = $1 and goal_id = $2 and version < $3
 order by version desc
 limit $4
"""

_CREATED = "select workflow_id::text, created_by from goals where account_id = $1 and goal_id = $2"


def _page_of_audit(condition: str) -> str:
    return f"""
select entry_id, at, actor, action, goal_id::text, version, enrollment_id::text, contact_id::text, before, after,
       effective_from
  from audit
 where account_id = $1 and workflow_id = $2 and entry_id < $3 and {condition}
 order by entry_id desc
 limit $4
"""


_AUDIT = _page_of_audit("true")
_AUDIT_OF_CONFIGURATION = _page_of_audit("effective_from is not null")
_AUDIT_OF_ACHIEVEMENTS = _page_of_audit("effective_from is null")
_AUDITS = {None: _AUDIT, "configuration": _AUDIT_OF_CONFIGURATION, "achievements": _AUDIT_OF_ACHIEVEMENTS}


async def goal_versions(
    database: Database, account_id: str, workflow_id: str, goal_id: str, *, limit: int, before: int | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` versions of a goal, deleted or not, newest first: all, or those before one.

    Raises GoalNotFound, or DatabaseUnavailable.
    """
    async with database.transaction(account_id) as connection:
        goal = await connection.fetchrow(_CREATED, account_id, goal_id)
        if goal is None or goal["workflow_id"] != workflow_id:
            raise GoalNotFound(f"There is no goal {goal_id} in workflow {workflow_id}")
        rows = await connection.fetch(
            _VERSIONS, account_id, goal_id, _LAST_VERSION if before is None else min(before, _LAST_VERSION), limit
        )
    return [_version(row, goal["created_by"]) for row in rows]


async def audit(
    database: Database, account_id: str, workflow_id: str, *, kind: AuditKind | None, limit: int, before: int | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` entries about a workflow, newest first, each with its `entry_id`. Raises DatabaseUnavailable."""
    async with database.transaction(account_id) as connection:
        rows = await connection.fetch(
            _AUDITS[kind], account_id, workflow_id, _LAST_ENTRY if before is None else before, limit
        )
    return [
        dict(row) | {name: None if row[name] is None else decode_json(row[name]) for name in ("before", "after")}
        for row in rows
    ]


def _version(row: Row, created_by: str) -> dict[str, Any]:
    goal = goal_of(row, created_by=created_by)
    return goal.document() | {"is_deleted": goal.version.is_deleted}
