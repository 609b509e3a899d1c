"""Which enrollments facts touch: those whose settlement may depend on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from goalstream.domain.facts import Fact, WorkflowStatus
from goalstream.domain.values import value
from goalstream.storage.codecs import uuid_columns
from goalstream.storage.contacts import ContactInWorkflow, Enrollment, Families, is_told_of, read_families
from goalstream.storage.facts import FactsByKind, start_row
from goalstream.storage.pool import Connection

# A start that says what its enrollment's row says already, of a contact that has matched nothing and of whom nothing is told,
# leaves nothing to settle. `offset 0` has each row looked up by its key: a join may be planned to read the whole table instead
# while that is small, and the plan is kept.
_BY_STARTS = f"""
select told.account_id::text, told.enrollment_id::text
  from unnest($1::enrollment_start_row[]) as told
 cross join lateral (
       select workflow_id, contact_id, entered_at from enrollments
        where enrollments.account_id = told.account_id and enrollments.enrollment_id = told.enrollment_id
       offset 0) as known
 where (known.workflow_id, known.contact_id, known.entered_at)
       is distinct from (told.workflow_id, told.contact_id, told.entered_at)
    or exists (select from matches where matches.account_id = told.account_id and matches.contact_id = told.contact_id)
    or exists (select from achievements
                where achievements.account_id = told.account_id and achievements.enrollment_id = told.enrollment_id)
    or {is_told_of("told")}
"""

_BY_CONTACTS_IN_WORKFLOWS = """
select started.account_id::text, started.enrollment_id::text
  from unnest(uuids($1), uuids($2), uuids($3)) as match (account_id, contact_id, workflow_id)
  join enrollment_starts started on started.account_id = match.account_id
       and started.contact_id = match.contact_id and started.workflow_id = match.workflow_id
"""

_BY_CONTACTS = """
select started.account_id::text, started.enrollment_id::text
  from unnest(uuids($1), uuids($2)) as told (account_id, contact_id)
  join enrollment_starts started on started.account_id = told.account_id and started.contact_id = told.contact_id
"""

# A status touches only enrollments of contacts with a match, or with an achievement, at or after its time.
_MATCHED_SINCE_STATUSES = """
select distinct matches.account_id::text, matches.contact_id::text, matches.workflow_id::text
  from unnest(uuids($1), uuids($2), $3::timestamptz[]) as status (account_id, workflow_id, occurred_at)
  join matches on matches.account_id = status.account_id and matches.workflow_id = status.workflow_id
       and matches.occurred_at >= status.occurred_at
"""

_ACHIEVED_SINCE_STATUSES = """
select achieved.account_id::text, achieved.enrollment_id::text
  from unnest(uuids($1), uuids($2), $3::timestamptz[]) as status (account_id, workflow_id, occurred_at)
  join achievements achieved on achieved.account_id = status.account_id
       and achieved.workflow_id = status.workflow_id and achieved.achieved_at >= status.occurred_at
"""


@value
class Touched:
    """What facts touch: enrollments, sorted by their keys, and the families of the contacts that the facts are about."""

    enrollments: Sequence[Enrollment]
    families: Families


async def find_touched(connection: Connection, facts: Iterable[Fact]) -> Touched:
    """Looks for everything that stored facts touch. What is stored later finds these facts itself."""
    told = FactsByKind(facts)
    enrollments: set[Enrollment] = {(end.account_id, end.enrollment_id) for end in told.ends}
    matched = {
        (match.account_id, match.contact_id, match.workflow_id) for match in told.matches if match.enrollment_id is None
    }
    meant = [match for match in told.matches if match.enrollment_id is not None]
    enrollments.update((match.account_id, match.enrollment_id or "") for match in meant)
    if told.starts:
        starts = [(None, *start_row(start)) for start in told.starts]
        enrollments.update(await _pairs(connection, _BY_STARTS, starts))
    if told.statuses:
        workflows = _workflows_since(told.statuses)
        since = [*uuid_columns(workflows, 2), list(workflows.values())]
        enrollments.update(await _pairs(connection, _ACHIEVED_SINCE_STATUSES, *since))
        rows = await connection.fetch(_MATCHED_SINCE_STATUSES, *since)
        matched.update((row[0], row[1], row[2]) for row in rows)

    related = {(merge.account_id, merge.contact_id) for merge in told.merges}
    related.update((deletion.account_id, deletion.contact_id) for deletion in told.deletions)
    contacts = {(account, contact) for account, contact, _ in matched}
    contacts.update((match.account_id, match.contact_id) for match in meant)
    families = await read_families(connection, contacts | related)
    if matched:
        contacts_in_workflows = _with_relatives(matched, families)
        enrollments.update(await _pairs(connection, _BY_CONTACTS_IN_WORKFLOWS, *uuid_columns(contacts_in_workflows, 3)))
    if related:
        relatives = {
            (account, member) for account, contact in related for member in families.members((account, contact))
        }
        enrollments.update(await _pairs(connection, _BY_CONTACTS, *uuid_columns(sorted(relatives), 2)))
    return Touched(enrollments=sorted(enrollments), families=families)


def _with_relatives(matched: Collection[ContactInWorkflow], families: Families) -> list[ContactInWorkflow]:
    """In the order of the index that they are looked up in."""
    return sorted(
        {
            (account_id, member, workflow_id)
            for account_id, contact_id, workflow_id in matched
            for member in families.members((account_id, contact_id))
        }
    )


def _workflows_since(statuses: Iterable[WorkflowStatus]) -> dict[tuple[str, str], datetime]:
    """Workflows, each with the earliest time that any of the statuses is about."""
    since: dict[tuple[str, str], datetime] = {}
    for status in statuses:
        workflow = (status.account_id, status.workflow_id)
        since[workflow] = min(status.occurred_at, since.get(workflow, status.occurred_at))
    return since


async def _pairs(connection: Connection, statement: str, *values: Any) -> list[tuple[str, str]]:
    return [(row[0], row[1]) for row in await connection.fetch(statement, *values)]
