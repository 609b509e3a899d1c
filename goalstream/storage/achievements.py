"""Achievements: read as they are recorded, and the differences written, with their audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from goalstream.domain.achievements import Achievement, Change, Trigger
from goalstream.domain.goals import GoalType
from goalstream.storage.codecs import decode_json, encode_canonical_json, encode_json
from goalstream.storage.facts import Enrollment
from goalstream.storage.pool import Connection

ACTOR = "goalstream"
"""Whom the audit names for what follows from facts."""

_READ = """
select achieved.account_id::text, achieved.enrollment_id::text, goal_id::text, workflow_id::text, contact_id::text,
       goal_version, goal_type, achieved_at, recorded_at, revision, source, event_id, event_type, occurred_at_source,
       clock_ahead, record_at, data, traceparent, late, also_matched::text[], met, required, should_exit_workflow,
       revoked_at, revoked_reason
  from unnest($1::uuid[], $2::uuid[]) as touched (account_id, enrollment_id)
  join achievements achieved
    on achieved.account_id = touched.account_id and achieved.enrollment_id = touched.enrollment_id
"""

# Arrays of arrays do not unnest row by row: also_matched travels as text ("{…}") and is cast back.
_WRITE = """
insert into achievements (account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version, recorded_at, revision,
                          late, met, required, should_exit_workflow, revoked_at, revoked_reason,
                          achieved_at, source, event_id, event_type, occurred_at_source, clock_ahead, record_at, traceparent,
                          goal_type, data, also_matched)
select account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version, recorded_at, revision,
       late, met, required, should_exit_workflow, revoked_at, revoked_reason,
       achieved_at, source, event_id, event_type, occurred_at_source, clock_ahead, record_at, traceparent,
       goal_type, data, also_matched::uuid[]
  from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::int[], $7::timestamptz[], $8::int[],
              $9::bool[], $10::int[], $11::int[], $12::bool[], $13::timestamptz[], $14::text[],
              $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::text[], $20::bool[], $21::timestamptz[],
              $22::text[], $23::text[], $24::json[], $25::text[])
    as achieved (account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version, recorded_at, revision,
                 late, met, required, should_exit_workflow, revoked_at, revoked_reason,
                 achieved_at, source, event_id, event_type, occurred_at_source, clock_ahead, record_at, traceparent,
                 goal_type, data, also_matched)
on conflict (account_id, enrollment_id, goal_id) do update
   set contact_id = excluded.contact_id, goal_version = excluded.goal_version, achieved_at = excluded.achieved_at,
       recorded_at = excluded.recorded_at, revision = excluded.revision, source = excluded.source,
       event_id = excluded.event_id, event_type = excluded.event_type, occurred_at_source = excluded.occurred_at_source,
       clock_ahead = excluded.clock_ahead, record_at = excluded.record_at, data = excluded.data,
       traceparent = excluded.traceparent, late = excluded.late, also_matched = excluded.also_matched, met = excluded.met,
       required = excluded.required, should_exit_workflow = excluded.should_exit_workflow,
       revoked_at = excluded.revoked_at, revoked_reason = excluded.revoked_reason
"""

_COLUMNS = (
    "account_id", "enrollment_id", "goal_id", "workflow_id", "contact_id", "goal_version", "recorded_at", "revision",
    "late", "met", "required", "should_exit_workflow", "revoked_at", "revoked_reason",
    "trigger.occurred_at", "trigger.source", "trigger.event_id", "trigger.event_type", "trigger.occurred_at_source",
    "trigger.clock_ahead", "trigger.record_at", "trigger.traceparent", "goal_type.value",
)  # fmt: skip

_AUDIT = """
insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, enrollment_id, contact_id, before, after)
select account_id, clock_timestamp(), $1, action, workflow_id, goal_id, version, enrollment_id, contact_id, before, after
  from unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::int[], $7::uuid[], $8::uuid[], $9::jsonb[], $10::jsonb[])
    as change (account_id, action, workflow_id, goal_id, version, enrollment_id, contact_id, before, after)
"""


async def read_achievements(
    connection: Connection, account_ids: Sequence[str], enrollment_ids: Sequence[str]
) -> dict[Enrollment, dict[str, Achievement]]:
    """What is recorded about enrollments: by enrollment, then by goal id."""
    recorded: dict[Enrollment, dict[str, Achievement]] = defaultdict(dict)
    for row in await connection.fetch(_READ, account_ids, enrollment_ids):
        achievement = _achievement(dict(row))
        recorded[achievement.account_id, achievement.enrollment_id][achievement.goal_id] = achievement
    return recorded


async def write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    """Writes what should hold instead of what is recorded, and an audit row for each difference."""
    if not changes:
        return
    achievements = [change.achievement for change in changes]
    columns = [list(map(attrgetter(name), achievements)) for name in _COLUMNS]
    data = [None if a.trigger.data is None else encode_canonical_json(a.trigger.data) for a in achievements]
    also_matched = ["{" + ",".join(a.also_matched) + "}" for a in achievements]
    await connection.execute(_WRITE, *columns, data, also_matched)
    await connection.execute(
        _AUDIT,
        ACTOR,
        [a.account_id for a in achievements],
        [change.action.value for change in changes],
        [a.workflow_id for a in achievements],
        [a.goal_id for a in achievements],
        [a.goal_version for a in achievements],
        [a.enrollment_id for a in achievements],
        [a.contact_id for a in achievements],
        [None if change.before is None else _audited(change.before) for change in changes],
        [_audited(change.achievement) for change in changes],
    )


def _audited(achievement: Achievement) -> str:
    """What the audit keeps of an achievement: no personal data."""
    return encode_json(
        {
            "achieved_at": achievement.achieved_at,
            "goal_version": achievement.goal_version,
            "revision": achievement.revision,
            "event_id": achievement.trigger.event_id,
            "source": achievement.trigger.source,
            "revoked_at": achievement.revoked_at,
            "revoked_reason": achievement.revoked_reason,
        }
    )


def _achievement(values: dict[str, Any]) -> Achievement:
    data = values.pop("data")
    trigger = Trigger(
        source=values.pop("source"),
        event_id=values.pop("event_id"),
        event_type=values.pop("event_type"),
        occurred_at=values.pop("achieved_at"),
        occurred_at_source=values.pop("occurred_at_source"),
        clock_ahead=values.pop("clock_ahead"),
        record_at=values.pop("record_at"),
        data=None if data is None else decode_json(data),
        traceparent=values.pop("traceparent"),
    )
    goal_type = GoalType(values.pop("goal_type"))
    also_matched = tuple(values.pop("also_matched"))
    return Achievement(trigger=trigger, goal_type=goal_type, also_matched=also_matched, **values)
