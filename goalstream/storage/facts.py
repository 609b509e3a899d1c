"""Facts go in: each stored once, in any order.

Rows are inserted sorted by key, so that two workers that store the same facts wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from hashlib import blake2b
from operator import attrgetter, itemgetter
from typing import Any, TypeVar, assert_never

from goalstream.domain.facts import (
    ContactDeletion,
    ContactMerge,
    EnrollmentEnd,
    EnrollmentStart,
    Fact,
    Match,
    WorkflowStatus,
)
from goalstream.domain.references import ReferenceChange
from goalstream.storage.codecs import encode_json
from goalstream.storage.pool import Connection
from goalstream.storage.references import store_references

_AnyFact = EnrollmentStart | EnrollmentEnd | WorkflowStatus | ContactMerge | ContactDeletion
_Fact = TypeVar("_Fact", EnrollmentStart, EnrollmentEnd, WorkflowStatus, ContactMerge, ContactDeletion)

# Rows travel as arrays of composite values (migration 0006), or where they are few as one JSON text: one parameter to encode
# instead of a list for each column, every element of which the driver would look at twice.
_STORE_STARTS = """
insert into enrollment_starts (account_id, enrollment_id, fact_id, workflow_id, contact_id, entered_at, trigger_event_id,
                               source, event_id, record_at)
select account_id, enrollment_id, fact_id, workflow_id, contact_id, entered_at, trigger_event_id,
       source, event_id, record_at
  from unnest($1::enrollment_start_row[])
on conflict (account_id, enrollment_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < enrollment_starts.record_at
"""

# New enrollments are marked for the statistics of large workflows, as the ledger marks those that it changes.
_STORE_STARTED_ENROLLMENTS = """
with entered as (
    insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at)
    select account_id, enrollment_id, workflow_id, contact_id, entered_at
      from unnest($1::enrollment_start_row[])
    on conflict (account_id, enrollment_id) do nothing
    returning account_id, workflow_id, entered_at)
insert into statistics_marks (account_id, workflow_id, entered_at)
select account_id, workflow_id, entered_at from entered
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
                     event_type, occurred_at_source, clock_ahead, record_at, data, traceparent, enrollment_id)
select account_id, contact_id, goal_id, occurred_at, source, event_id, workflow_id, goal_version, goal_type,
       event_type, occurred_at_source, clock_ahead, record_at, data, traceparent, coalesce(enrollment_id, '00000000-0000-0000-0000-000000000000')
  from unnest($1::match_row[])
on conflict (account_id, contact_id, goal_id, occurred_at, source, event_id, enrollment_id) do update
   set record_at = least(matches.record_at, excluded.record_at),
       data = case when excluded.data collate "C" < matches.data then excluded.data else matches.data end
 where excluded.record_at < matches.record_at or excluded.data collate "C" < matches.data
"""

_STORE_MERGES = """
insert into contact_merges (account_id, contact_id, fact_id, into_contact_id, occurred_at, source, event_id, record_at)
select account_id, contact_id, fact_id, into_contact_id, occurred_at, source, event_id, record_at
  from json_populate_recordset(null::contact_merges, $1)
on conflict (account_id, contact_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < contact_merges.record_at
"""

_STORE_DELETIONS = """
insert into contact_deletions (account_id, contact_id, fact_id, occurred_at, source, event_id, record_at)
select account_id, contact_id, fact_id, occurred_at, source, event_id, record_at
  from json_populate_recordset(null::contact_deletions, $1)
on conflict (account_id, contact_id, fact_id) do update set record_at = excluded.record_at
 where excluded.record_at < contact_deletions.record_at
"""


_match_row = attrgetter(
    "account_id", "contact_id", "goal_id", "occurred_at", "source", "event_id", "workflow_id", "goal_version", "goal_type",
    "event_type", "occurred_at_source", "clock_ahead", "record_at", "data", "traceparent", "enrollment_id",
)  # fmt: skip

start_row = attrgetter(
    "account_id", "enrollment_id", "workflow_id", "contact_id", "entered_at", "trigger_event_id", "source", "event_id",
    "record_at",
)  # fmt: skip


async def store_facts(connection: Connection, facts: Iterable[Fact]) -> None:
    """Stores facts; of identical copies the smallest record timestamp is kept. Raises what the driver raises."""
    told = FactsByKind(facts)
    if told.matches:
        await connection.execute(_STORE_MATCHES, [_match_row(match) for match in _distinct_matches(told.matches)])
    if told.starts:
        starts = [(fact_id, *start_row(start)) for fact_id, start in _distinct(told.starts)]
        await connection.execute(_STORE_STARTS, starts)
        await connection.execute(_STORE_STARTED_ENROLLMENTS, starts)
    if told.ends:
        rows = _documents(told.ends)
        await connection.execute(_STORE_ENDS, rows)
        await connection.execute(_STORE_ENDED_ENROLLMENTS, rows)
    if told.statuses:
        await connection.execute(_STORE_STATUSES, _documents(told.statuses))
    if told.merges:
        await connection.execute(_STORE_MERGES, _documents(told.merges))
    if told.deletions:
        await connection.execute(_STORE_DELETIONS, _documents(told.deletions))
    if told.references:
        await store_references(connection, told.references)


class FactsByKind:
    """Facts, sorted into their kinds."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self.matches: list[Match] = []
        self.starts: list[EnrollmentStart] = []
        self.ends: list[EnrollmentEnd] = []
        self.statuses: list[WorkflowStatus] = []
        self.merges: list[ContactMerge] = []
        self.deletions: list[ContactDeletion] = []
        self.references: list[ReferenceChange] = []
        for fact in facts:
            match fact:
                case Match():
                    self.matches.append(fact)
                case EnrollmentStart():
                    self.starts.append(fact)
                case EnrollmentEnd():
                    self.ends.append(fact)
                case WorkflowStatus():
                    self.statuses.append(fact)
                case ContactMerge():
                    self.merges.append(fact)
                case ContactDeletion():
                    self.deletions.append(fact)
                case ReferenceChange():
                    self.references.append(fact)
                case _:
                    assert_never(fact)


def _distinct(facts: Sequence[_Fact]) -> list[tuple[str, _Fact]]:
    """Each fact once, with its digest, sorted by key; of identical copies the one with the smallest record timestamp."""
    smallest: dict[tuple[str, str, str], _Fact] = {}
    for fact in facts:
        key = (fact.account_id, _owner(fact), _fact_id(fact))
        known = smallest.setdefault(key, fact)
        if fact.record_at < known.record_at:
            smallest[key] = fact
    return [(key[-1], fact) for key, fact in sorted(smallest.items(), key=itemgetter(0))]


def _documents(facts: Sequence[_Fact]) -> str:
    """The rows of facts as JSON."""
    return encode_json(
        [
            {"fact_id": fact_id} | {field.name: getattr(fact, field.name) for field in fields(fact)}
            for fact_id, fact in _distinct(facts)
        ]
    )


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


def _owner(fact: _AnyFact) -> str:
    """What a fact is about: the second column of its key."""
    match fact:
        case EnrollmentStart() | EnrollmentEnd():
            return fact.enrollment_id
        case WorkflowStatus():
            return fact.workflow_id
        case ContactMerge() | ContactDeletion():
            return fact.contact_id
        case _:
            assert_never(fact)


def _fact_id(fact: _AnyFact) -> str:
    """A digest (32 hexadecimal digits) of everything a fact says, its record's timestamp left out."""
    match fact:
        case EnrollmentStart():
            said: tuple[Any, ...] = (fact.workflow_id, fact.contact_id, fact.entered_at, fact.trigger_event_id)
        case EnrollmentEnd():
            said = (fact.ended_at, fact.reason)
        case WorkflowStatus():
            said = (fact.name, fact.status, fact.goal_logic, fact.occurred_at)
        case ContactMerge():
            said = (fact.into_contact_id, fact.occurred_at)
        case ContactDeletion():
            said = (fact.occurred_at,)
        case _:
            assert_never(fact)
    text = encode_json([*said, fact.source, fact.event_id])
    return blake2b(text.encode(), digest_size=16).hexdigest()
