"""Facts go in: each stored once, in any order, and then the enrollments that they touch.

Rows are inserted sorted by key, so that two workers that store the same facts wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime
from hashlib import blake2b
from operator import itemgetter
from typing import Any, TypeVar

from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, Fact, Match, WorkflowStatus
from goalstream.domain.references import ReferenceChange
from goalstream.storage.codecs import encode_json
from goalstream.storage.pool import Connection

Enrollment = tuple[str, str]
"""(account id, enrollment id)"""

_Fact = TypeVar("_Fact", EnrollmentStart, EnrollmentEnd, WorkflowStatus)

# Rows travel as one JSON text, which PostgreSQL takes apart: one parameter to encode instead of a list for each column.
_STORE_STARTS = """
insert into enrollment_starts (account_id, enrollment_id, fact_id, workflow_id, contact_id, entered_at, trigger_event_id,
                               source, event_id, record_at)
select account_id, enrollment_id, fact_id, workflow_id, contact_id, entered_at, trigger_event_id,
       source, event_id, record_at
  from json_populate_recordset(null::enrollment_starts, $1)
on conflict (account_id, enrollment_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < enrollment_starts.record_at
"""

_STORE_STARTED_ENROLLMENTS = """
insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at)
select account_id, enrollment_id, workflow_id, contact_id, entered_at
  from json_populate_recordset(null::enrollments, $1)
on conflict (account_id, enrollment_id) do nothing
"""

_STORE_ENDS = """
insert into enrollment_ends (account_id, enrollment_id, fact_id, ended_at, reason, source, event_id, record_at)
select account_id, enrollment_id, fact_id, ended_at, reason, source, event_id, record_at
  from json_populate_recordset(null::enrollment_ends, $1)
on conflict (account_id, enrollment_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < enrollment_ends.record_at
"""

_STORE_ENDED_ENROLLMENTS = """
insert into enrollments (account_id, enrollment_id)
select account_id, enrollment_id from json_populate_recordset(null::enrollments, $1)
on conflict (account_id, enrollment_id) do nothing
"""

_STORE_STATUSES = """
insert into workflow_statuses (account_id, workflow_id, fact_id, name, status, goal_logic, occurred_at, source, event_id,
                               record_at)
select account_id, workflow_id, fact_id, name, status, goal_logic, occurred_at, source, event_id, record_at
  from json_populate_recordset(null::workflow_statuses, $1)
on conflict (account_id, workflow_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < workflow_statuses.record_at
"""

# Copies of a match that differ in their payload: the smaller text holds, so that the order of arrival does not matter.
_STORE_MATCHES = """
insert into matches (account_id, contact_id, goal_id, occurred_at, source, event_id, workflow_id, goal_version, goal_type,
                     event_type, occurred_at_source, clock_ahead, record_at, data, traceparent)
select account_id, contact_id, goal_id, occurred_at, source, event_id, workflow_id, goal_version, goal_type,
       event_type, occurred_at_source, clock_ahead, record_at, data, traceparent
  from json_populate_recordset(null::matches, $1)
on conflict (account_id, contact_id, goal_id, occurred_at, source, event_id) do update
   set record_at = least(matches.record_at, excluded.record_at),
       data = case when excluded.data collate "C" < matches.data then excluded.data else matches.data end
 where excluded.record_at < matches.record_at or excluded.data collate "C" < matches.data
"""

# A start that says what its enrollment's row says already, of a contact that has matched nothing, leaves nothing to settle.
_TOUCHED_BY_STARTS = """
select told.account_id::text, told.enrollment_id::text
  from json_populate_recordset(null::enrollment_starts, $1) as told
  join enrollments on enrollments.account_id = told.account_id and enrollments.enrollment_id = told.enrollment_id
 where (enrollments.workflow_id, enrollments.contact_id, enrollments.entered_at)
       is distinct from (told.workflow_id, told.contact_id, told.entered_at)
    or exists (select from matches where matches.account_id = told.account_id and matches.contact_id = told.contact_id)
    or exists (select from achievements
                where achievements.account_id = told.account_id and achievements.enrollment_id = told.enrollment_id)
"""

# A status touches only enrollments of contacts with a match, or with an achievement, at or after its time.
_TOUCHED_BY_STATUSES = """
select started.account_id::text, started.enrollment_id::text
  from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as status (account_id, workflow_id, occurred_at)
  join matches on matches.account_id = status.account_id and matches.workflow_id = status.workflow_id
       and matches.occurred_at >= status.occurred_at
  join enrollment_starts started on started.account_id = matches.account_id
       and started.contact_id = matches.contact_id and started.workflow_id = matches.workflow_id
union
select achieved.account_id::text, achieved.enrollment_id::text
  from unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) as status (account_id, workflow_id, occurred_at)
  join achievements achieved on achieved.account_id = status.account_id
       and achieved.workflow_id = status.workflow_id and achieved.achieved_at >= status.occurred_at
"""

_TOUCHED_BY_MATCHES = """
select distinct started.account_id::text, started.enrollment_id::text
  from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as match (account_id, contact_id, workflow_id)
  join enrollment_starts started on started.account_id = match.account_id
       and started.contact_id = match.contact_id and started.workflow_id = match.workflow_id
"""


async def store_facts(connection: Connection, facts: Iterable[Fact]) -> None:
    """Stores facts; of identical copies the smallest record timestamp is kept. Raises what the driver raises."""
    matches, starts, ends, statuses = _by_kind(facts)
    if matches:
        await connection.execute(_STORE_MATCHES, encode_json(_distinct_matches(matches)))
    if starts:
        rows = encode_json(_distinct(starts))
        await connection.execute(_STORE_STARTS, rows)
        await connection.execute(_STORE_STARTED_ENROLLMENTS, rows)
    if ends:
        rows = encode_json(_distinct(ends))
        await connection.execute(_STORE_ENDS, rows)
        await connection.execute(_STORE_ENDED_ENROLLMENTS, rows)
    if statuses:
        await connection.execute(_STORE_STATUSES, encode_json(_distinct(statuses)))


async def touched_enrollments(connection: Connection, facts: Iterable[Fact]) -> list[Enrollment]:
    """The stored enrollments whose settlement may depend on these facts, sorted."""
    matches, starts, ends, statuses = _by_kind(facts)
    touched: set[Enrollment] = {(end.account_id, end.enrollment_id) for end in ends}
    if starts:
        found = await connection.fetch(_TOUCHED_BY_STARTS, encode_json(starts))
        touched.update((row[0], row[1]) for row in found)
    if matches:
        contacts = {(match.account_id, match.contact_id, match.workflow_id) for match in matches}
        found = await connection.fetch(_TOUCHED_BY_MATCHES, *_transposed(sorted(contacts)))
        touched.update((row[0], row[1]) for row in found)
    if statuses:
        workflows: dict[tuple[str, str], datetime] = {}
        for status in statuses:
            workflow = (status.account_id, status.workflow_id)
            workflows[workflow] = min(status.occurred_at, workflows.get(workflow, status.occurred_at))
        rows = [(account_id, workflow_id, since) for (account_id, workflow_id), since in sorted(workflows.items())]
        found = await connection.fetch(_TOUCHED_BY_STATUSES, *_transposed(rows))
        touched.update((row[0], row[1]) for row in found)
    return sorted(touched)


def _by_kind(
    facts: Iterable[Fact],
) -> tuple[list[Match], list[EnrollmentStart], list[EnrollmentEnd], list[WorkflowStatus]]:
    matches: list[Match] = []
    starts: list[EnrollmentStart] = []
    ends: list[EnrollmentEnd] = []
    statuses: list[WorkflowStatus] = []
    for fact in facts:
        match fact:
            case Match():
                matches.append(fact)
            case EnrollmentStart():
                starts.append(fact)
            case EnrollmentEnd():
                ends.append(fact)
            case WorkflowStatus():
                statuses.append(fact)
            case ReferenceChange():
                pass  # touches no enrollment: storage.references keeps it
    return matches, starts, ends, statuses


def _distinct(facts: Sequence[_Fact]) -> list[dict[str, Any]]:
    """The rows of facts, each once, sorted by key; of identical copies the one with the smallest record timestamp."""
    smallest: dict[tuple[str, str, str], _Fact] = {}
    for fact in facts:
        key = (fact.account_id, _owner(fact), _fact_id(fact))
        known = smallest.setdefault(key, fact)
        if fact.record_at < known.record_at:
            smallest[key] = fact
    return [
        {"fact_id": key[-1]} | {field.name: getattr(fact, field.name) for field in fields(fact)}
        for key, fact in sorted(smallest.items(), key=itemgetter(0))
    ]


def _distinct_matches(matches: Sequence[Match]) -> list[Match]:
    """Each match once with its smallest record timestamp and smallest payload text, sorted by key."""
    smallest: dict[tuple[object, ...], Match] = {}
    for match in matches:
        known = smallest.setdefault(match.identity, match)
        if known is not match:
            texts = [text for text in (known.data, match.data) if text is not None]
            record_at = min(known.record_at, match.record_at)
            smallest[match.identity] = replace(match, record_at=record_at, data=min(texts, default=None))
    return [match for _, match in sorted(smallest.items(), key=itemgetter(0))]


def _owner(fact: EnrollmentStart | EnrollmentEnd | WorkflowStatus) -> str:
    return fact.workflow_id if isinstance(fact, WorkflowStatus) else fact.enrollment_id


def _fact_id(fact: EnrollmentStart | EnrollmentEnd | WorkflowStatus) -> str:
    """A digest (32 hexadecimal digits) of everything a fact says, its record's timestamp left out."""
    match fact:
        case EnrollmentStart():
            said: tuple[Any, ...] = (fact.workflow_id, fact.contact_id, fact.entered_at, fact.trigger_event_id)
        case EnrollmentEnd():
            said = (fact.ended_at, fact.reason)
        case WorkflowStatus():
            said = (fact.name, fact.status, fact.goal_logic, fact.occurred_at)
    text = encode_json([*said, fact.source, fact.event_id])
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes; there is at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]
