"""What an account has, page by page: its workflows, and the achievements of a workflow or of a contact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from goalstream.domain.circumstances import last_status
from goalstream.domain.facts import WorkflowStatus
from goalstream.domain.messages import achievement_document
from goalstream.storage.achievements import COLUMNS, achievement_of
from goalstream.storage.contacts import read_families
from goalstream.storage.enrollments import read_statuses
from goalstream.storage.pool import Connection, Database, Row


def _next_workflow(after: str) -> str:
    """SQL: the first id after one, of all that a goal, a status or an enrollment names; a look-up in each index."""
    return f"""(select least(
        (select workflow_id from goals where account_id = $1 and workflow_id > {after} order by workflow_id limit 1),
        (select workflow_id from workflow_statuses where account_id = $1 and workflow_id > {after} order by workflow_id limit 1),
        (select workflow_id from enrollments
          where account_id = $1 and entered_at is not null and workflow_id > {after} order by workflow_id limit 1)))"""


# Workflows have no table of their own: what names one makes it known.
_WORKFLOWS = f"""
with recursive known as (
    select {_next_workflow("$2")} as workflow_id, 1 as number
     union all
    select {_next_workflow("known.workflow_id")}, number + 1
      from known
     where known.workflow_id is not null and number < $3)
select known.workflow_id::text,
       (select count(*) from goals
         where account_id = $1 and goals.workflow_id = known.workflow_id and deleted_at is null) as goals,
       case when exists (select from rollups where account_id = $1 and rollups.workflow_id = known.workflow_id
                            and as_of > statement_timestamp() - interval '1 minute')
            then (select coalesce(sum(enrolled), 0)::bigint from rollup_spans
                   where account_id = $1 and rollup_spans.workflow_id = known.workflow_id and level = 2)
            else (select count(*) from enrollments
                   where account_id = $1 and enrollments.workflow_id = known.workflow_id and entered_at is not null)
        end as enrolled
  from known
 where known.workflow_id is not null
 order by known.workflow_id
"""


# A goal is compared in a way that no index serves: the key of achievements would be read for all of the account.
def _achievements(about: str) -> str:
    return f"""
select {COLUMNS} from achievements achieved
 where {about} and account_id = $1
   and achieved_at >= case when $3::timestamptz is null then '-infinity' else $3 end
   and achieved_at < case when $4::timestamptz is null then 'infinity' else $4 end
   and goal_id is not distinct from coalesce($5::uuid, goal_id) and ($6::text is null or goal_type = $6) and ($7 or revoked_at is null)
   and achieved_at <= case when $8::timestamptz is null then 'infinity' else $8 end
   and ($8 is null or achieved_at < $8 or (enrollment_id, goal_id) > ($9::uuid, $10::uuid))
 order by achieved_at desc, enrollment_id, goal_id
 limit $11
"""


_OF_WORKFLOW = _achievements("workflow_id = $2")
_OF_CONTACT = _achievements("contact_id = any($2::uuid[])")

_BEFORE_ALL = "00000000-0000-0000-0000-000000000000"


class AchievementKey(NamedTuple):
    """Where an achievement stands in a listing."""

    achieved_at: datetime
    enrollment_id: str
    goal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which achievements: those in [start, end), of a goal or a type, and those that hold, or all."""

    goal_id: str | None = None
    goal_type: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    include_revoked: bool = False


async def workflows(database: Database, account_id: str, *, limit: int, after: str | None) -> Sequence[dict[str, Any]]:
    """Up to `limit` workflows by id: all that a goal, a status or an enrollment names, or those after one.

    Enrollments of large workflows are up to a minute old. Raises DatabaseUnavailable.
    """
    async with database.transaction(account_id) as connection:
        rows = await connection.fetch(_WORKFLOWS, account_id, after or _BEFORE_ALL, limit)
        statuses = await read_statuses(connection, [(account_id, row["workflow_id"]) for row in rows])
    return [_workflow(row, last_status(statuses.get((account_id, row["workflow_id"]), ()))) for row in rows]


def _workflow(row: Row, told: WorkflowStatus | None) -> dict[str, Any]:
    return {
        "workflow_id": row["workflow_id"],
        "name": told and told.name,
        "status": told and told.status,
        "goal_logic": (told and told.goal_logic) or "any",
        "goals": row["goals"],
        "enrolled": row["enrolled"],
    }


async def achievements_of_workflow(
    database: Database, account_id: str, workflow_id: str, wanted: Wanted, *, limit: int, after: AchievementKey | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` achievements of a workflow, newest first, as topics show them. Raises DatabaseUnavailable."""
    async with database.transaction(account_id) as connection:
        return await _page(connection, _OF_WORKFLOW, account_id, workflow_id, wanted, limit, after)


async def achievements_of_contact(
    database: Database, account_id: str, contact_id: str, wanted: Wanted, *, limit: int, after: AchievementKey | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` achievements of a contact, newest first, as topics show them. Raises DatabaseUnavailable.

    Whichever of its ids is asked for: an id that was merged stands for the one into which it was.
    """
    contact = (account_id, contact_id)
    async with database.transaction(account_id) as connection:
        ids = (await read_families(connection, [contact])).same_person(contact)
        return await _page(connection, _OF_CONTACT, account_id, sorted(ids), wanted, limit, after)


async def _page(
    connection: Connection,
    statement: str,
    account_id: str,
    about: str | list[str],
    wanted: Wanted,
    limit: int,
    after: AchievementKey | None,
) -> Sequence[dict[str, Any]]:
    asked = wanted.start, wanted.end, wanted.goal_id, wanted.goal_type, wanted.include_revoked
    rows = await connection.fetch(statement, account_id, about, *asked, *(after or (None, None, None)), limit)
    return [
        achievement_document(found) | {"revoked_at": found.revoked_at, "revoked_reason": found.revoked_reason}
        for found in map(achievement_of, rows)
    ]
