"""The goal versions of one workflow, for who asks about a single event instead of keeping a goal table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from goalstream.domain.goals import GoalVersion
from goalstream.storage.codecs import goal_version
from goalstream.storage.goal_changes import LOCK
from goalstream.storage.pool import Connection

_VERSIONS = "select * from goal_versions where account_id = $1 and workflow_id = $2 order by goal_id, version"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowGoals:
    """Every version of every goal that a workflow has or had, each goal's in ascending order, and the database's clock."""

    clock: datetime
    versions: Sequence[GoalVersion]


async def read_goals(connection: Connection, account_id: str, workflow_id: str) -> WorkflowGoals:
    """What is committed; a change that is just being accepted may be missing, although it is in force at `clock`."""
    clock = await connection.fetchval("select clock_timestamp()")
    rows = await connection.fetch(_VERSIONS, account_id, workflow_id)
    return WorkflowGoals(clock=clock, versions=[goal_version(row) for row in rows])


async def read_all_goals(connection: Connection, account_id: str, workflow_id: str) -> WorkflowGoals:
    """Complete for every moment up to `clock`: waits for whoever changes goals, as a worker's refresh does."""
    await connection.execute("select pg_advisory_xact_lock_shared($1)", LOCK)
    return await read_goals(connection, account_id, workflow_id)
