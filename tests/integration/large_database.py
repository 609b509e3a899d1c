"""A database as it is after a while: a hundred thousand rows in every large table."""

from __future__ import annotations

from hashlib import md5
from uuid import UUID

import asyncpg

ENROLLMENTS = 120_000
OTHERS = 15_000
"""Rows in every table that grows more slowly than enrollments do."""

UNDECIDED = 1_000
"""So many have done nothing yet."""

# What everything hangs on: half of all people are in one workflow of the first of 20 accounts, the others in 20 workflows of
# each account. The ids follow from their numbers.
_PEOPLE = f"""
create function id(kind text, number bigint) returns uuid language sql immutable
    as $$ select md5(kind || number)::uuid $$;
create temporary table people as
    select number, case when number % 2 = 0 then id('account', 0) else id('account', number / 2 % 20) end as account_id,
           case when number % 2 = 0 then id('workflow', 0) else id('workflow', number / 2 % 400) end as workflow_id,
           id('contact', number) as contact_id, id('enrollment', number) as enrollment_id,
           id('goal of', case when number % 2 = 0 then 0 else number / 2 % 400 end) as goal_id,
           now() - make_interval(secs => 259200 + number * 60) as entered_at
      from generate_series(1, {ENROLLMENTS}) as number;
"""

_ROWS = f"""
insert into enrollments (account_id, enrollment_id, workflow_id, contact_id, entered_at, ended_at, satisfied_at)
    select account_id, enrollment_id, workflow_id, contact_id, entered_at,
           case when number % 3 > 0 then entered_at + interval '7 days' end,
           case when number > {UNDECIDED} then entered_at + interval '2 days' end from people;
insert into enrollment_starts
    select account_id, enrollment_id, id('fact', number), workflow_id, contact_id, entered_at, null,
           'workflow.enrollment.started', number::text, entered_at from people;
insert into enrollment_ends
    select account_id, enrollment_id, id('fact', number), entered_at + interval '7 days', null,
           'workflow.enrollment.ended', number::text, entered_at + interval '7 days' from people where number % 3 > 0;
insert into matches (account_id, contact_id, goal_id, occurred_at, source, event_id, workflow_id, goal_version, goal_type,
                     event_type, occurred_at_source, clock_ahead, record_at, data)
    select account_id, contact_id, goal_id, entered_at + interval '2 days', 'contact.tag.added', number::text, workflow_id, 1,
           'tag_added', 'contact.tag.added', 'event', false, entered_at + interval '2 days', '{{}}' from people
     where number > {UNDECIDED};
insert into achievements (account_id, enrollment_id, goal_id, workflow_id, contact_id, goal_version, goal_type, achieved_at,
                          recorded_at, revision, source, event_id, event_type, occurred_at_source, clock_ahead, record_at,
                          data, late, also_matched, met, required, should_exit_workflow)
    select account_id, enrollment_id, goal_id, workflow_id, contact_id, 1, 'tag_added', entered_at + interval '2 days',
           entered_at + interval '2 days', 1, 'contact.tag.added', number::text, 'contact.tag.added', 'event', false,
           entered_at + interval '2 days', '{{}}', false, '{{}}', 1, 1, true from people where number > {UNDECIDED};
insert into audit (account_id, at, actor, action, workflow_id, goal_id, version, enrollment_id, contact_id)
    select account_id, entered_at + interval '2 days', 'goalstream', 'achieved', workflow_id, goal_id, 1, enrollment_id,
           contact_id from people;
insert into outbox
    select account_id, id('message', number), 'workflow.goal.achieved', contact_id::text, now(), '{{}}', null, now(), now()
      from people limit {OTHERS};
insert into workflow_statuses
    select account_id, id('workflow', number % 400), id('fact', number), null, 'active', 'any', entered_at,
           'workflow.status.changed', number::text, entered_at from people limit {OTHERS};
insert into contact_merges
    select account_id, id('merged', number), id('fact', number), id('survivor', number), entered_at, 'contact.merged',
           number::text, entered_at from people limit {OTHERS};
insert into contact_deletions
    select account_id, id('deleted', number), id('fact', number), entered_at, 'contact.deleted', number::text, entered_at
      from people limit {OTHERS};
insert into goals
    select account_id, id('goal', number), id('workflow', 1 + number % 400), 'tag_added', number::text, 1, entered_at, 'ada'
      from people limit {OTHERS};
insert into goal_versions
    select distinct account_id, goal_id, 1, workflow_id, 'tag_added', '{{"tag_name": "seen"}}'::jsonb, true, false,
           null::bigint, 0, now() - interval '9 years', now() - interval '9 years', now(), 'ada' from people;
insert into goal_versions
    select account_id, id('goal', number), 1, id('workflow', 1 + number % 400), 'tag_added',
           jsonb_build_object('tag_name', number::text), true, false, null, 0, entered_at, entered_at, entered_at, 'ada'
      from people limit {OTHERS};
insert into hook_calls
    select account_id, workflow_id, number::text, entered_at, decode(repeat('00', 32), 'hex'), 202, '{{}}' from people
     limit {OTHERS};
insert into crm_references
    select account_id, 'form', 'form-' || number, null, null, false, entered_at, entered_at, number::text,
           'crm.reference.changed', '{{}}' from people limit {OTHERS};
insert into webhooks (account_id, webhook_id, url, description, topics, secrets, is_paused, version, created_at, created_by,
                      updated_at, updated_by, due_at)
    select id('account', number % 20), id('webhook', number), 'https://hooks.example.com/', '', '{{workflow.goal.achieved}}',
           'x', false, 1, now(), 'ada', now(), 'ada', case when number % 50 = 0 then now() else 'infinity' end
      from generate_series(0, 299) as number;
insert into webhook_deliveries (account_id, webhook_id, message_id, topic, contact_id, occurred_at, body, state, attempts,
                                created_at, next_attempt_at, give_up_at, ended_at)
    select id('account', number % 20), id('webhook', number % 300), id('message', number), 'workflow.goal.achieved', contact_id,
           entered_at, '{{}}', case when number % 50 = 0 then 'pending' when number % 50 = 1 then 'parked' else 'delivered' end,
           1, entered_at, case when number % 50 = 0 then now() end, entered_at + interval '1 day',
           case when number % 50 > 0 then entered_at end from people;
insert into webhook_attempts
    select account_id, webhook_id, message_id, created_at, 'https://hooks.example.com/', '{{}}', 0.1, 200, null, 'ok'
      from webhook_deliveries;
"""


def _id(kind: str, number: int) -> str:
    """As the function of that name in the database has it."""
    return str(UUID(md5(f"{kind}{number}".encode()).hexdigest()))


ACCOUNT_ID, WORKFLOW_ID = _id("account", 0), _id("workflow", 0)
"""Where half of all people are."""


def people(count: int) -> list[tuple[str, str]]:
    """Some of them: ids of contacts, and of the enrollment of each."""
    return [(_id("contact", 2 * number), _id("enrollment", 2 * number)) for number in range(1, count + 1)]


async def fill(url: str) -> None:
    """Fills a migrated database, in a few seconds; nobody counts what is in it until `analyze`."""
    connection = await asyncpg.connect(url, server_settings={"goalstream.scope": "worker"})
    try:
        for (table,) in await connection.fetch("select relname from pg_class where relkind = 'r' and relrowsecurity"):
            await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
        await connection.execute(_PEOPLE + _ROWS)
    finally:
        await connection.close()


async def analyze(url: str) -> None:
    """What autovacuum does some time after `fill`."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("vacuum analyze")
    finally:
        await connection.close()
