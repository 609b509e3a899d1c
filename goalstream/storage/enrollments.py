"""Everything that the answer for an enrollment depends on, read under its lock.

Lock and read are separate statements: one that does both waits for the lock and then reads the other tables from the
snapshot taken before the wait.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from goalstream.domain.achievements import Achievement
from goalstream.domain.facts import EnrollmentEnd, EnrollmentFacts, EnrollmentStart, Match, WorkflowStatus
from goalstream.domain.goals import GoalVersion
from goalstream.domain.values import value
from goalstream.storage.achievements import read_achievements
from goalstream.storage.codecs import GOAL_TYPES, goal_version, uuid_columns, values_of
from goalstream.storage.contacts import Contact, ContactInWorkflow, Enrollment, Families, is_told_of, read_families
from goalstream.storage.pool import Connection, Row

_ROWS = """
select enrollments.account_id::text, enrollments.enrollment_id::text, workflow_id::text, contact_id::text, entered_at,
       ended_at, satisfied_at, exited_at, clock_timestamp() as now
  from unnest(uuids($1), uuids($2)) as touched (account_id, enrollment_id)
  join enrollments on enrollments.account_id = touched.account_id and enrollments.enrollment_id = touched.enrollment_id
 order by enrollments.account_id, enrollments.enrollment_id
"""

_LOCK = f"{_ROWS} for update of enrollments"

_STARTS = f"""
select started.account_id::text, started.enrollment_id::text, workflow_id::text, contact_id::text, entered_at,
       trigger_event_id, source, event_id, record_at,
       {is_told_of("started")} as has_family
  from unnest(uuids($1), uuids($2)) as touched (account_id, enrollment_id)
  join enrollment_starts started
    on started.account_id = touched.account_id and started.enrollment_id = touched.enrollment_id
"""

_ENDS = """
select ended.account_id::text, ended.enrollment_id::text, ended_at, reason, source, event_id, record_at
  from unnest(uuids($1), uuids($2)) as touched (account_id, enrollment_id)
  join enrollment_ends ended on ended.account_id = touched.account_id and ended.enrollment_id = touched.enrollment_id
"""

MATCH_COLUMNS = """
matches.account_id::text, matches.contact_id::text, matches.workflow_id::text, goal_id::text, goal_version,
goal_type, source, event_id, event_type, occurred_at, occurred_at_source, clock_ahead, record_at, data, traceparent,
nullif(matches.enrollment_id, '00000000-0000-0000-0000-000000000000')::text as enrollment_id
"""
"""Of `matches`: what `match_of` needs."""

# The workflow is compared in a way that no index serves: a contact has few matches, a workflow has many, and while PostgreSQL has
# not counted them, it takes either for the shorter way.
_MATCHES = f"""
select {MATCH_COLUMNS}
  from unnest(uuids($1), uuids($2), uuids($3)) as wanted (account_id, contact_id, workflow_id)
  join matches on matches.account_id = wanted.account_id and matches.contact_id = wanted.contact_id
   and matches.workflow_id is not distinct from wanted.workflow_id
"""

_GOAL_VERSIONS = """
select goal_versions.*
  from unnest(uuids($1), uuids($2)) as wanted (account_id, workflow_id)
  join goal_versions
    on goal_versions.account_id = wanted.account_id and goal_versions.workflow_id = wanted.workflow_id
"""

_STATUSES = """
select told.account_id::text, told.workflow_id::text, name, status, goal_logic, occurred_at, source, event_id, record_at
  from unnest(uuids($1), uuids($2)) as wanted (account_id, workflow_id)
  join workflow_statuses told on told.account_id = wanted.account_id and told.workflow_id = wanted.workflow_id
"""


class EnrollmentRow(NamedTuple):
    """A row of `enrollments` as the database gives and takes it: what the facts about it added up to so far."""

    account_id: str
    enrollment_id: str
    workflow_id: str | None
    contact_id: str | None
    entered_at: datetime | None
    ended_at: datetime | None
    satisfied_at: datetime | None
    exited_at: datetime | None


@value
class KnownEnrollment:
    """An enrollment as it was read, under its lock if it is to be settled: its row, its facts, what is recorded by goal id."""

    row: EnrollmentRow
    facts: EnrollmentFacts
    recorded: Mapping[str, Achievement]


async def lock(
    connection: Connection, enrollments: Sequence[Enrollment]
) -> tuple[datetime | None, list[EnrollmentRow]]:
    """Locks enrollments in the order of their keys; those that exist, with the database's time once all are locked."""
    found = await connection.fetch(_LOCK, *uuid_columns(enrollments, 2))
    return (found[-1]["now"] if found else None), [EnrollmentRow._make(row[:-1]) for row in found]


async def look_up(connection: Connection, enrollments: Sequence[Enrollment]) -> list[EnrollmentRow]:
    """The rows of those enrollments that exist, not locked: for who only wants to know, and reads in one snapshot."""
    found = await connection.fetch(_ROWS, *uuid_columns(enrollments, 2))
    return [EnrollmentRow._make(row[:-1]) for row in found]


async def read(
    connection: Connection, rows: Sequence[EnrollmentRow], *, hypothetical: Sequence[Match] = ()
) -> list[KnownEnrollment]:
    """Reads what the settlement of enrollments needs; hypothetical matches are taken for stored ones."""
    keys = uuid_columns([(row.account_id, row.enrollment_id) for row in rows], 2)
    starts, families = await _starts(connection, keys)
    ends = await _ends(connection, keys)
    recorded = await read_achievements(connection, *keys)
    sought = {key: _contacts_in_workflows(told, families) for key, told in starts.items()}
    matches = await _matches(connection, {contact for contacts in sought.values() for contact in contacts})
    for match in hypothetical:
        matches[match.account_id, match.contact_id, match.workflow_id].append(match)
    workflows = {(account_id, workflow_id) for account_id, _, workflow_id in matches}
    workflows.update((a.account_id, a.workflow_id) for known in recorded.values() for a in known.values())
    versions, statuses = await _workflow_facts(connection, sorted(workflows))

    locked = []
    for row in rows:
        key = (row.account_id, row.enrollment_id)
        own_starts = starts.get(key, ())
        own_matches = [match for contact in sought.get(key, ()) for match in matches.get(contact, ())]
        own_recorded = recorded.get(key, {})
        kept = [achievement.match for achievement in own_recorded.values() if achievement.is_valid]
        own_workflows = {(row.account_id, match.workflow_id) for match in (*own_matches, *kept)}
        facts = EnrollmentFacts(
            account_id=row.account_id,
            enrollment_id=row.enrollment_id,
            starts=own_starts,
            ends=ends.get(key, ()),
            matches=own_matches,
            kept=kept,
            goal_versions=[version for workflow in own_workflows for version in versions.get(workflow, ())],
            statuses=[status for workflow in own_workflows for status in statuses.get(workflow, ())],
            contacts=families.facts_about(own_starts),
        )
        locked.append(KnownEnrollment(row=row, facts=facts, recorded=own_recorded))
    return locked


async def _starts(
    connection: Connection, keys: Sequence[str]
) -> tuple[dict[Enrollment, list[EnrollmentStart]], Families]:
    """The starts of enrollments, and the families of whom they name."""
    rows = await connection.fetch(_STARTS, *keys)
    starts: dict[Enrollment, list[EnrollmentStart]] = defaultdict(list)
    related: set[Contact] = set()
    for row in rows:
        start = _start(row)
        starts[start.account_id, start.enrollment_id].append(start)
        if row["has_family"]:
            related.add((start.account_id, start.contact_id))
    return starts, await read_families(connection, related)


async def _ends(connection: Connection, keys: Sequence[str]) -> dict[Enrollment, list[EnrollmentEnd]]:
    ends: dict[Enrollment, list[EnrollmentEnd]] = defaultdict(list)
    for end in values_of(EnrollmentEnd, await connection.fetch(_ENDS, *keys)):
        ends[end.account_id, end.enrollment_id].append(end)
    return ends


def _contacts_in_workflows(starts: Sequence[EnrollmentStart], families: Families) -> set[ContactInWorkflow]:
    """Whose matches may count: every contact and workflow that a start names, and the contact's relatives."""
    return {
        (start.account_id, member, start.workflow_id)
        for start in starts
        for member in families.members((start.account_id, start.contact_id))
    }


async def _matches(
    connection: Connection, contacts: Iterable[ContactInWorkflow]
) -> dict[ContactInWorkflow, list[Match]]:
    matches: dict[ContactInWorkflow, list[Match]] = defaultdict(list)
    for row in await connection.fetch(_MATCHES, *uuid_columns(sorted(contacts), 3)):
        match = match_of(row)
        matches[match.account_id, match.contact_id, match.workflow_id].append(match)
    return matches


async def _workflow_facts(
    connection: Connection, workflows: Sequence[tuple[str, str]]
) -> tuple[dict[tuple[str, str], list[GoalVersion]], dict[tuple[str, str], list[WorkflowStatus]]]:
    versions: dict[tuple[str, str], list[GoalVersion]] = defaultdict(list)
    statuses: dict[tuple[str, str], list[WorkflowStatus]] = defaultdict(list)
    if workflows:
        for row in await connection.fetch(_GOAL_VERSIONS, *uuid_columns(workflows, 2)):
            version = goal_version(row)
            versions[version.account_id, version.workflow_id].append(version)
        statuses = await read_statuses(connection, workflows)
    return versions, statuses


async def read_statuses(
    connection: Connection, workflows: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[WorkflowStatus]]:
    """Every status of workflows, by (account id, workflow id), in no order."""
    statuses: dict[tuple[str, str], list[WorkflowStatus]] = defaultdict(list)
    for status in values_of(WorkflowStatus, await connection.fetch(_STATUSES, *uuid_columns(workflows, 2))):
        statuses[status.account_id, status.workflow_id].append(status)
    return statuses


def _start(row: Row) -> EnrollmentStart:
    return EnrollmentStart(
        account_id=row["account_id"],
        enrollment_id=row["enrollment_id"],
        workflow_id=row["workflow_id"],
        contact_id=row["contact_id"],
        entered_at=row["entered_at"],
        trigger_event_id=row["trigger_event_id"],
        source=row["source"],
        event_id=row["event_id"],
        record_at=row["record_at"],
    )


def match_of(row: Row) -> Match:
    """The match of a row with `MATCH_COLUMNS`."""
    return Match(
        account_id=row["account_id"],
        contact_id=row["contact_id"],
        workflow_id=row["workflow_id"],
        goal_id=row["goal_id"],
        goal_version=row["goal_version"],
        goal_type=GOAL_TYPES[row["goal_type"]],
        source=row["source"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        occurred_at=row["occurred_at"],
        occurred_at_source=row["occurred_at_source"],
        clock_ahead=row["clock_ahead"],
        record_at=row["record_at"],
        data=row["data"],
        traceparent=row["traceparent"],
        enrollment_id=row["enrollment_id"],
    )
