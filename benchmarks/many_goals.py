"""Any number of goals in any number of accounts, written by PostgreSQL itself, and events of which a known share matches one.

Everything follows from a goal's number: its account is the number modulo the accounts, types take turns within an account,
and every tenth goal of an account asks for what an earlier one asks for.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, NamedTuple
from uuid import UUID

from goalstream.storage.goal_changes import lock_for_writing
from goalstream.storage.pool import Database
from goalstream.streams.topics import EVENT_TOPICS

EVENT_BYTES = 300
"""Shorter events are filled up."""

# Kinds in the order of `EVENT_TOPICS`. All ids are UUIDs in text: what a CRM has, and the longest that are usual.
_INSERT = """
with numbered as (
    select number, number % $2 as account, (number / $2 + number) % 5 as kind, number / $2 as place
      from generate_series(0, $1::bigint - 1) as number),
wanted as (
    select *, md5('wanted ' || case when place % 10 = 9 then number - 5 * $2 else number end)::uuid::text as value
      from numbered)
insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active, is_deleted,
                           window_seconds, measure_after_exit_seconds, effective_from, goal_created_at, written_at,
                           written_by)
select md5('account ' || account)::uuid, md5('goal ' || number)::uuid, 1, md5('workflow ' || number)::uuid,
       (array['tag_added', 'purchase_made', 'appointment_booked', 'form_submitted', 'pipeline_stage_reached'])[kind + 1],
       case kind
           when 0 then jsonb_build_object('tag_id', value, 'tag_name', 'Tag ' || number)
           when 1 then jsonb_build_object('product_id', value, 'min_amount', '49.99', 'currency', 'EUR')
           when 2 then jsonb_build_object('calendar_id', value)
           when 3 then jsonb_build_object('form_id', value)
           else jsonb_build_object('pipeline_id', md5('pipeline ' || account)::uuid::text, 'stage_id', value)
       end,
       true, false, case when number % 3 = 0 then 604800 end, 0,
       now() - interval '30 days' + number * interval '1 microsecond', now() - interval '31 days', now(), 'benchmark'
  from wanted
 order by number
"""

# The next version of some goals: a form's asks for something new, others get another window.
_CHANGE = """
insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active, is_deleted,
                           window_seconds, measure_after_exit_seconds, effective_from, goal_created_at, written_at,
                           written_by)
select newest.account_id, newest.goal_id, newest.version + 1, newest.workflow_id, newest.goal_type,
       case newest.goal_type
           when 'form_submitted' then jsonb_build_object('form_id', gen_random_uuid()::text)
           else newest.criteria
       end,
       true, false, coalesce(newest.window_seconds, 0) + 60, 0, $3, newest.goal_created_at, $3, 'benchmark'
  from unnest($1::uuid[], $2::uuid[]) as changed (account_id, goal_id)
  cross join lateral (
    select * from goal_versions
     where goal_versions.account_id = changed.account_id and goal_versions.goal_id = changed.goal_id
     order by version desc limit 1) as newest
"""


class Record(NamedTuple):
    """As Kafka would give it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...] = ()


class ManyGoals:
    """`goals` goals, spread evenly over `accounts` accounts."""

    def __init__(self, goals: int, accounts: int, *, seed: int) -> None:
        self.goals = goals
        self.accounts = accounts
        self._random = random.Random(seed)

    async def write(self, database: Database) -> None:
        """Writes the goals, in force for a month, in place of all that are there."""
        async with database.transaction() as connection:
            await connection.execute("truncate goal_versions")
            await connection.execute(_INSERT, self.goals, self.accounts, timeout=600)
        async with database.connection() as connection:
            await connection.execute("analyze goal_versions")

    async def change(self, database: Database, count: int) -> None:
        """Writes the next version of so many goals at random, or of as many as there are, as the API would."""
        numbers = self._random.sample(range(self.goals), min(count, self.goals))
        async with database.transaction() as connection:
            accepted_at = await lock_for_writing(connection)
            accounts = [_id("account", number % self.accounts) for number in numbers]
            await connection.execute(_CHANGE, accounts, [_id("goal", number) for number in numbers], accepted_at)

    def events(self, count: int, match_share: float) -> Iterator[Record]:
        """Events that occur now in random accounts; the share asks for what a goal asks for, all others for nothing known."""
        now = datetime.now(UTC)
        for offset in range(count):
            number = self._random.randrange(self.goals) if self._random.random() < match_share else None
            if number is None:
                account, kind, value = self._random.randrange(self.accounts), offset % 5, _id("other", offset)
            else:
                account, kind = number % self.accounts, (number // self.accounts + number) % 5
                value = _id("wanted", self._source_of(number))
            document = {
                "event_id": _id("event", offset),
                "event_type": EVENT_TOPICS[kind],
                "account_id": _id("account", account),
                "timestamp": now.isoformat(),
                "data": {"contact_id": _id("contact", offset), **_data(kind, value, account)},
            }
            text = json.dumps(document, separators=(",", ":"))
            filled = f'{text[:-1]},"note":"{"." * (EVENT_BYTES - len(text) - 10)}"}}'
            yield Record(EVENT_TOPICS[kind], 0, offset, int(now.timestamp() * 1000), None, filled.encode())

    def _source_of(self, number: int) -> int:
        """The number of the goal whose value a goal asks for, which is nearly always its own."""
        return number - 5 * self.accounts if number // self.accounts % 10 == 9 else number


def _data(kind: int, value: str, account: int) -> dict[str, Any]:
    return (
        {"tag_id": value, "tag_name": "Anything"},
        {"product_id": value, "amount": "149.99", "currency": "EUR"},
        {"calendar_id": value},
        {"form_id": value},
        {"pipeline_id": _id("pipeline", account), "stage_id": value},
    )[kind]


def _id(what: str, number: int) -> str:
    return str(UUID(md5(f"{what} {number}".encode()).hexdigest()))
