"""Achievements: read as they are recorded, and the differences written, with their audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter

from goalstream.domain.achievements import Achievement, Change
from goalstream.domain.facts import Match
from goalstream.domain.goals import GoalType
from goalstream.storage.codecs import encode_json
from goalstream.storage.contacts import Enrollment
from goalstream.storage.pool import Connection, Row

ACTOR = "goalstream"
"""Whom the audit names for what follows from facts."""

COLUMNS = """
achieved.account_id::text, achieved.enrollment_id::text, goal_id::text, workflow_id::text, contact_id::text,
coalesce(match_contact_id, contact_id)::text as match_contact_id, match_enrollment_id::text,
goal_version, goal_type, achieved_at, recorded_at, revision, source, event_id, event_type, occurred_at_source,
clock_ahead, record_at, data, traceparent, late, also_matched::text[], met, required, should_exit_workflow,
revoked_at, revoked_reason
"""
"""Of `achievements achieved`: what `achievement_of` needs."""

_READ = f"""
select {COLUMNS}
  from unnest(uuids($1), uuids($2)) as touched (account_id, enrollment_id)
  join achievements achieved
    on achieved.account_id = touched.account_id and achieved.enrollment_id = touched.enrollment_id
"""

# What is written and the audit of it, in one statement. Of an achievement the audit keeps no personal data.
_WRITE = """
with audited as (
    insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, enrollment_id, contact_id, before, after)
    select account_id, clock_timestamp(), $2, action, workflow_id, goal_id, goal_version, enrollment_id, contact_id, before,
           jsonb_build_object('achieved_at', achieved_at, 'goal_version', goal_version, 'revision', revision,
                              'event_id', event_id, 'source', source,
                              'revoked_at', revoked_at, 'revoked_reason', revoked_reason)
      from unnest($1::achievement_row[]))
insert into achievements (account_id, enrollment_id, goal_id, workflow_id, contact_id, match_contact_id,
                          match_enrollment_id, goal_version, goal_type, achieved_at, recorded_at, revision, source, event_id,
                          event_type, occurred_at_source, clock_ahead, record_at, data, traceparent, late, also_matched,
                          met, required, should_exit_workflow, revoked_at, revoked_reason)
select account_id, enrollment_id, goal_id, workflow_id, contact_id, match_contact_id,
       match_enrollment_id, goal_version, goal_type, achieved_at, recorded_at, revision, source, event_id,
       event_type, occurred_at_source, clock_ahead, record_at, data, traceparent, late, also_matched,
       met, required, should_exit_workflow, revoked_at, revoked_reason
  from unnest($1::achievement_row[])
on conflict (account_id, enrollment_id, goal_id) do update
   set contact_id = excluded.contact_id, match_contact_id = excluded.match_contact_id,
       match_enrollment_id = excluded.match_enrollment_id,
       goal_version = excluded.goal_version, achieved_at = excluded.achieved_at, recorded_at = excluded.recorded_at,
       revision = excluded.revision, source = excluded.source, event_id = excluded.event_id,
       event_type = excluded.event_type, occurred_at_source = excluded.occurred_at_source,
       clock_ahead = excluded.clock_ahead, record_at = excluded.record_at, data = excluded.data,
       traceparent = excluded.traceparent, late = excluded.late, also_matched = excluded.also_matched, met = excluded.met,
       required = excluded.required, should_exit_workflow = excluded.should_exit_workflow,
       revoked_at = excluded.revoked_at, revoked_reason = excluded.revoked_reason
"""

_ACHIEVED_BY = """
select achieved_at from achievements
 where account_id = $1 and enrollment_id = $2 and goal_id = $3 and source = $4 and event_id = $5 and revoked_at is null
"""


async def read_achievements(
    connection: Connection, account_ids: str, enrollment_ids: str
) -> dict[Enrollment, dict[str, Achievement]]:
    """What is recorded about enrollments (ids as `uuid_columns` writes them): by enrollment, then by goal id."""
    recorded: dict[Enrollment, dict[str, Achievement]] = defaultdict(dict)
    for row in await connection.fetch(_READ, account_ids, enrollment_ids):
        achievement = achievement_of(row)
        recorded[achievement.account_id, achievement.enrollment_id][achievement.goal_id] = achievement
    return recorded


async def achieved_by(
    connection: Connection, enrollment: Enrollment, goal_id: str, source: str, event_id: str
) -> datetime | None:
    """When an enrollment achieved a goal by this event; None where it did not, or it does not hold any more."""
    moment: datetime | None = await connection.fetchval(_ACHIEVED_BY, *enrollment, goal_id, source, event_id)
    return moment


_achievement_row = attrgetter(
    "match.account_id", "enrollment_id", "match.goal_id", "match.workflow_id", "contact_id", "match.contact_id",
    "match.enrollment_id", "match.goal_version", "match.goal_type", "match.occurred_at", "recorded_at",
    "revision", "match.source", "match.event_id", "match.event_type", "match.occurred_at_source", "match.clock_ahead",
    "match.record_at", "match.data", "match.traceparent", "late", "also_matched", "met", "required",
    "should_exit_workflow", "revoked_at", "revoked_reason",
)  # fmt: skip


async def write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    """Writes what should hold instead of what is recorded, and an audit row for each difference."""
    if changes:
        rows = [
            (*_achievement_row(change.achievement), change.action, change.before and _audited(change.before))
            for change in changes
        ]
        await connection.execute(_WRITE, rows, ACTOR)


def _audited(achievement: Achievement) -> str:
    """What the audit keeps of an achievement that is replaced, as JSON; `_WRITE` keeps the same of what replaces it."""
    return encode_json(
        {
            "achieved_at": achievement.achieved_at,
            "goal_version": achievement.match.goal_version,
            "revision": achievement.revision,
            "event_id": achievement.match.event_id,
            "source": achievement.match.source,
            "revoked_at": achievement.revoked_at,
            "revoked_reason": achievement.revoked_reason,
        }
    )


def achievement_of(row: Row) -> Achievement:
    """The achievement of a row with `COLUMNS`."""
    match = Match(
        account_id=row["account_id"],
        contact_id=row["match_contact_id"],
        workflow_id=row["workflow_id"],
        goal_id=row["goal_id"],
        goal_version=row["goal_version"],
        goal_type=GoalType(row["goal_type"]),
        source=row["source"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        occurred_at=row["achieved_at"],
        occurred_at_source=row["occurred_at_source"],
        clock_ahead=row["clock_ahead"],
        record_at=row["record_at"],
        data=row["data"],
        traceparent=row["traceparent"],
        enrollment_id=row["match_enrollment_id"],
    )
    return Achievement(
        enrollment_id=row["enrollment_id"],
        contact_id=row["contact_id"],
        match=match,
        recorded_at=row["recorded_at"],
        revision=row["revision"],
        late=row["late"],
        also_matched=tuple(row["also_matched"]),
        met=row["met"],
        required=row["required"],
        should_exit_workflow=row["should_exit_workflow"],
        revoked_at=row["revoked_at"],
        revoked_reason=row["revoked_reason"],
    )
