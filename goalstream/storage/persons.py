"""Persons: a contact under all its ids, with its enrollments and its newest matches, for who is asked about one of them.

Everything is read in the caller's snapshot, and nothing is locked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from goalstream.domain.achievements import Achievement
from goalstream.domain.contacts import Contacts
from goalstream.domain.facts import ContactDeletion, ContactMerge, Match
from goalstream.storage.achievements import read_achievements
from goalstream.storage.codecs import uuid_columns
from goalstream.storage.contacts import Enrollment, read_families
from goalstream.storage.enrollments import MATCH_COLUMNS, EnrollmentRow, look_up, match_of
from goalstream.storage.pool import Connection

# `offset 0` has each id looked up by itself: a comparison with several may be planned as a filter over all of the account.
_ENROLLMENTS = """
select distinct account_id::text, enrollment_id::text, workflow_id::text
  from unnest(uuids($2)) as person (contact_id)
 cross join lateral (
       select account_id, enrollment_id, workflow_id from enrollment_starts
        where account_id = $1 and enrollment_starts.contact_id = person.contact_id
          and workflow_id is not distinct from coalesce($3::uuid, workflow_id)
       offset 0) as started
"""


def _matches(condition: str) -> str:
    """SQL: of each id the matches of one moment, and the newest before it, with all that are as old as the last."""
    return f"""
select found.*
  from unnest(uuids($2)) as person (contact_id)
 cross join lateral (
       select {MATCH_COLUMNS}
         from matches
        where account_id = $1 and matches.contact_id = person.contact_id and {condition} and occurred_at = $4
        union all
      (select {MATCH_COLUMNS}
         from matches
        where account_id = $1 and matches.contact_id = person.contact_id and {condition}
          and occurred_at < case when $4::timestamptz is null then 'infinity' else $4 end
        order by occurred_at desc
        fetch first $5 rows with ties)
       offset 0) as found
"""


_OF_GOAL = _matches("goal_id = $3")
# A contact has few matches, a workflow has many: no index is to serve the workflow.
_OF_WORKFLOW = _matches("workflow_id is not distinct from coalesce($3::uuid, workflow_id)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A contact by the id that stands for all its others (`ids`), and its enrollments.

    `enrollments` are those that a start gives to any of the ids, by (workflow id, enrollment id) as the start has it; an
    enrollment of which starts disagree may be somebody else's. `recorded` is by enrollment and goal.
    """

    account_id: str
    contact_id: str
    ids: Sequence[str]
    contacts: Contacts
    told: Sequence[ContactMerge | ContactDeletion]
    enrollments: Mapping[str, Sequence[EnrollmentRow]]
    recorded: Mapping[Enrollment, Mapping[str, Achievement]]

    @property
    def rows(self) -> dict[str, EnrollmentRow]:
        """The enrollments by their ids."""
        return {row.enrollment_id: row for rows in self.enrollments.values() for row in rows}


async def read_person(connection: Connection, account_id: str, contact_id: str, workflow_id: str | None) -> Person:
    """The person behind an id, with the enrollments of one workflow, or of all."""
    contact = (account_id, contact_id)
    families = await read_families(connection, [contact])
    told = families.facts_of(contact)
    contacts = Contacts(told)
    ids = sorted(families.same_person(contact))
    starts = await connection.fetch(_ENROLLMENTS, account_id, ",".join(ids), workflow_id)
    keys = sorted({(row["account_id"], row["enrollment_id"]) for row in starts})
    rows = {row.enrollment_id: row for row in await look_up(connection, keys)} if keys else {}
    enrollments: dict[str, list[EnrollmentRow]] = defaultdict(list)
    for _, enrollment_id, named_workflow_id in sorted(map(tuple, starts)):
        if enrollment_id in rows:
            enrollments[named_workflow_id].append(rows[enrollment_id])
    return Person(
        account_id=account_id,
        contact_id=contacts.survivor(contact_id),
        ids=ids,
        contacts=contacts,
        told=told,
        enrollments=enrollments,
        recorded=await read_achievements(connection, *uuid_columns(keys, 2)) if keys else {},
    )


async def matches_of_goal(
    connection: Connection, person: Person, goal_id: str, *, limit: int, moment: datetime | None
) -> list[Match]:
    """At least `limit` matches of a goal, as long as there are so many: all of one moment, and the newest before it."""
    rows = await connection.fetch(_OF_GOAL, person.account_id, ",".join(person.ids), goal_id, moment, limit)
    return [match_of(row) for row in rows]


async def matches_of_workflow(
    connection: Connection, person: Person, workflow_id: str | None, *, limit: int, moment: datetime | None
) -> list[Match]:
    """The same of all goals of a workflow, or of all workflows."""
    rows = await connection.fetch(_OF_WORKFLOW, person.account_id, ",".join(person.ids), workflow_id, moment, limit)
    return [match_of(row) for row in rows]
