"""Facts go in: each stored once, in any order, and then the enrollments that they touch.

Rows are inserted sorted by key, so that two workers that store the same facts wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2b
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from goalstream.domain.facts import EnrollmentEnd, EnrollmentStart, Fact, Match, WorkflowStatus
from goalstream.storage.codecs import encode_canonical_json
from goalstream.storage.pool import Connection

Enrollment = tuple[str, str]
"""(account id, enrollment id)"""

_Fact = TypeVar("_Fact", EnrollmentStart, EnrollmentEnd, WorkflowStatus)

_START_COLUMNS = (
    "account_id", "enrollment_id", "workflow_id", "contact_id", "entered_at", "trigger_event_id", "source", "event_id",
    "record_at",
)  # fmt: skip
_END_COLUMNS = ("account_id", "enrollment_id", "ended_at", "reason", "source", "event_id", "record_at")
_STATUS_COLUMNS = (
    "account_id", "workflow_id", "name", "status", "goal_logic", "occurred_at", "source", "event_id", "record_at",
)  # fmt: skip
_MATCH_COLUMNS = (
    "account_id", "contact_id", "goal_id", "occurred_at", "source", "event_id", "workflow_id", "goal_version",
    "goal_type", "event_type", "occurred_at_source", "clock_ahead", "traceparent",
)  # fmt: skip

_STORE_STARTS = """
insert into enrollment_starts (fact_id, account_id, enrollment_id, workflow_id, contact_id, entered_at,
                               trigger_event_id, source, event_id, record_at)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[],
                     $7::text[], $8::text[], $9::text[], $10::timestamptz[])
on conflict (account_id, enrollment_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < enrollment_starts.record_at
"""

_STORE_STARTED_ENROLLMENTS = """
insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[])
on conflict (account_id, enrollment_id) do nothing
"""

_STORE_ENDS = """
insert into enrollment_ends (fact_id, account_id, enrollment_id, ended_at, reason, source, event_id, record_at)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                     $8::timestamptz[])
on conflict (account_id, enrollment_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < enrollment_ends.record_at
"""

_STORE_ENDED_ENROLLMENTS = """
insert into enrollments (account_id, enrollment_id)
select * from unnest($1::uuid[], $2::uuid[])
on conflict (account_id, enrollment_id) do nothing
"""

_STORE_STATUSES = """
insert into workflow_statuses (fact_id, account_id, workflow_id, name, status, goal_logic, occurred_at, source, event_id,
                               record_at)
select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::text[], $9::text[], $10::timestamptz[])
on conflict (account_id, workflow_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < workflow_statuses.record_at
"""

# Copies of a match that differ in their payload: the smaller text holds, so that the order of arrival does not matter.
_STORE_MATCHES = """
insert into matches (record_at, data, account_id, contact_id, goal_id, occurred_at, source, event_id, workflow_id,
                     goal_version, goal_type, event_type, occurred_at_source, clock_ahead, traceparent)
select * from unnest($1::timestamptz[], $2::json[], $3::uuid[], $4::uuid[], $5::uuid[], $6::timestamptz[], $7::text[],
                     $8::text[], $9::uuid[], $10::int[], $11::text[], $12::text[], $13::text[], $14::bool[], $15::text[])
on conflict (account_id, contact_id, goal_id, occurred_at, source, event_id) do update
   set record_at = least(matches.record_at, excluded.record_at),
       data = case when excluded.data::text collate "C" < matches.data::text then excluded.data else matches.data end
 where excluded.record_at < matches.record_at or excluded.data::text collate "C" < matches.data::text
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
        rows = _distinct_matches(matches)
        stored = [row.match for row in rows]
        values = [row.record_at for row in rows], [row.data for row in rows], *_columns(stored, *_MATCH_COLUMNS)
        await connection.execute(_STORE_MATCHES, *values)
    if starts:
        ids, starts = _distinct(starts)
        await connection.execute(_STORE_STARTS, ids, *_columns(starts, *_START_COLUMNS))
        await connection.execute(_STORE_STARTED_ENROLLMENTS, *_columns(starts, *_START_COLUMNS[:5]))
    if ends:
        ids, ends = _distinct(ends)
        await connection.execute(_STORE_ENDS, ids, *_columns(ends, *_END_COLUMNS))
        await connection.execute(_STORE_ENDED_ENROLLMENTS, *_columns(ends, *_END_COLUMNS[:2]))
    if statuses:
        ids, statuses = _distinct(statuses)
        await connection.execute(_STORE_STATUSES, ids, *_columns(statuses, *_STATUS_COLUMNS))


async def touched_enrollments(connection: Connection, facts: Iterable[Fact]) -> list[Enrollment]:
    """The stored enrollments whose settlement may depend on these facts, sorted."""
    matches, starts, ends, statuses = _by_kind(facts)
    touched: set[Enrollment] = {(start.account_id, start.enrollment_id) for start in starts}
    touched.update((end.account_id, end.enrollment_id) for end in ends)
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
    return matches, starts, ends, statuses


def _distinct(facts: Sequence[_Fact]) -> tuple[list[UUID], list[_Fact]]:
    """Each fact once, with its digest, sorted by key; of identical copies the one with the smallest record timestamp."""
    smallest: dict[tuple[str, str, UUID], _Fact] = {}
    for fact in facts:
        key = (fact.account_id, _owner(fact), _fact_id(fact))
        known = smallest.get(key)
        if known is None or fact.record_at < known.record_at:
            smallest[key] = fact
    keys = sorted(smallest)
    return [fact_id for _, _, fact_id in keys], [smallest[key] for key in keys]


class _MatchRow(NamedTuple):
    match: Match
    record_at: datetime
    data: str | None


def _distinct_matches(matches: Sequence[Match]) -> list[_MatchRow]:
    """Each match once with its smallest record timestamp and smallest payload text, sorted by key."""
    smallest: dict[tuple[object, ...], _MatchRow] = {}
    for match in matches:
        data = None if match.data is None else encode_canonical_json(match.data)
        row = _MatchRow(match, match.record_at, data)
        key = (match.account_id, match.contact_id, match.goal_id, match.occurred_at, match.source, match.event_id)
        known = smallest.setdefault(key, row)
        if known is not row:
            texts = [text for text in (known.data, data) if text is not None]
            smallest[key] = _MatchRow(match, min(known.record_at, match.record_at), min(texts, default=None))
    return [row for _, row in sorted(smallest.items(), key=itemgetter(0))]


def _owner(fact: EnrollmentStart | EnrollmentEnd | WorkflowStatus) -> str:
    return fact.workflow_id if isinstance(fact, WorkflowStatus) else fact.enrollment_id


def _fact_id(fact: EnrollmentStart | EnrollmentEnd | WorkflowStatus) -> UUID:
    """A digest of everything a fact says, its record's timestamp left out."""
    match fact:
        case EnrollmentStart():
            said: tuple[Any, ...] = (fact.workflow_id, fact.contact_id, fact.entered_at, fact.trigger_event_id)
        case EnrollmentEnd():
            said = (fact.ended_at, fact.reason)
        case WorkflowStatus():
            said = (fact.name, fact.status, fact.goal_logic, fact.occurred_at)
    text = encode_canonical_json([*said, fact.source, fact.event_id])
    return UUID(bytes=blake2b(text.encode(), digest_size=16).digest())


def _columns(facts: Sequence[Fact], *names: str) -> list[list[Any]]:
    """The named attributes of facts, a list for each, as `unnest` takes them."""
    return [[getattr(fact, name) for fact in facts] for name in names]


def _transposed(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the columns that `unnest` takes; there is at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]
