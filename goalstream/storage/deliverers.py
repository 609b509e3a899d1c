"""Deliveries as those see them who send them: messages that come about are stored for every webhook that wants them; one
deliverer at a time has the lease of a webhook, sends what is due, and notes each attempt.

Who makes a delivery due brings `webhooks.due_at` forward, after the delivery; who ends a lease locks the webhook first and looks
for the next delivery in a statement of its own: so no delivery is overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from goalstream.domain.deliveries import GONE, PATIENCE, is_delivered, open_seconds
from goalstream.domain.messages import EncodedMessage
from goalstream.storage.codecs import encode_json
from goalstream.storage.contacts import erase_answers, erase_deliveries, read_families
from goalstream.storage.pool import Database

EARLIER = timedelta(seconds=5)
"""By which a clock that dates messages may be behind PostgreSQL's: no webhook misses what came about after it was made."""

KEPT_FOR = timedelta(days=30)
"""Deliveries and their attempts, whatever became of them."""

# By account: `offset 0` keeps PostgreSQL from reading the webhooks of all accounts for a join with them.
_STORE = """
insert into webhook_deliveries (account_id, webhook_id, message_id, topic, contact_id, occurred_at, body, state, created_at,
                                next_attempt_at)
select message.account_id, webhook_id, message_id, topic, contact_id, occurred_at, body, 'pending', clock_timestamp(),
       clock_timestamp()
  from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[], $7::timestamptz[])
       as message (account_id, message_id, topic, contact_id, occurred_at, body, published_at)
 cross join lateral (
       select webhook_id from webhooks
        where webhooks.account_id = message.account_id and message.topic = any (webhooks.topics)
          and webhooks.created_at <= published_at + $8::interval
       offset 0) as wanted
 order by message.account_id, webhook_id, message_id
on conflict do nothing
returning account_id::text, webhook_id::text
"""

# In the order in which everybody locks several webhooks. What is new does not close a circuit.
_MAKE_DUE = """
with locked as materialized (
    select webhooks.account_id, webhooks.webhook_id
      from webhooks
      join unnest($1::uuid[], $2::uuid[]) as due (account_id, webhook_id)
        on webhooks.account_id = due.account_id and webhooks.webhook_id = due.webhook_id
     order by webhooks.account_id, webhooks.webhook_id
       for update of webhooks)
update webhooks set due_at = least(due_at, greatest(clock_timestamp(), circuit_open_until))
  from locked where webhooks.account_id = locked.account_id and webhooks.webhook_id = locked.webhook_id
"""

# Who has waited longest since its last turn is next; accounts that have enough turns already are left out.
_LEASE = """
with next as (
    select account_id, webhook_id from webhooks
     where not is_paused and due_at <= statement_timestamp() and leased_until <= statement_timestamp()
       and account_id <> all ($1::uuid[])
     order by served_at
     limit 1
       for update skip locked)
update webhooks
   set lease = $2, leased_until = clock_timestamp() + make_interval(secs => $3), served_at = clock_timestamp()
  from next where webhooks.account_id = next.account_id and webhooks.webhook_id = next.webhook_id
returning webhooks.account_id::text, webhooks.webhook_id::text, url, secrets, failures_in_a_row
"""

# As many as there is room for in memory, and one at least.
_DUE = """
select message_id::text, topic, occurred_at, body, attempts
  from (select *, sum(octet_length(body)) over (order by next_attempt_at, message_id) - octet_length(body) as bytes_before
          from (select message_id, topic, occurred_at, body, attempts, next_attempt_at from webhook_deliveries
                 where account_id = $1 and webhook_id = $2 and state = 'pending'
                   and next_attempt_at <= statement_timestamp()
                 order by next_attempt_at
                 limit $3) as first) as due
 where bytes_before < $4
 order by next_attempt_at, message_id
"""

# `is true`: by its key, and not by the index of those that are due.
_NOTE = """
with attempt as (
    insert into webhook_attempts (account_id, webhook_id, message_id, at, url, headers, duration_seconds, status, error, answer)
    select $1, $2, $3, clock_timestamp() - make_interval(secs => $6), $4, $5, $6, $7, $8, $9),
clock as (
    select clock_timestamp() as now, clock_timestamp() + make_interval(secs => $11) as later)
update webhook_deliveries
   set attempts = attempts + 1,
       give_up_at = coalesce(give_up_at, now + $12::interval),
       state = case when $10 then 'delivered' when later > coalesce(give_up_at, now + $12::interval) then 'parked'
                    else 'pending' end,
       next_attempt_at = case when $10 or later > coalesce(give_up_at, now + $12::interval) then null else later end,
       ended_at = case when $10 or later > coalesce(give_up_at, now + $12::interval) then now end
  from clock
 where account_id = $1 and webhook_id = $2 and message_id = $3 and (state = 'pending') is true
returning state, body
"""

_PAUSE = """
with paused as (
    update webhooks
       set is_paused = true, version = version + 1, updated_at = clock_timestamp(), updated_by = 'goalstream'
     where account_id = $1 and webhook_id = $2 and url = $3 and not is_paused
    returning updated_at, version)
insert into audit (account_id, at, actor, action, version, before, after)
select $1, updated_at, 'goalstream', 'webhook_changed', version, $4, $5 from paused
"""

_LOCK = "select 1 from webhooks where account_id = $1 and webhook_id = $2 and lease = $3 for update"

_RELEASE = """
update webhooks
   set lease = null, leased_until = '-infinity', failures_in_a_row = $3, circuit_open_until = open_until,
       due_at = greatest(open_until, coalesce((
           select min(next_attempt_at) from webhook_deliveries
            where account_id = $1 and webhook_id = $2 and state = 'pending'), 'infinity'))
  from (select case when $4::float8 is not null then clock_timestamp() + make_interval(secs => $4) end as open_until) as circuit
 where account_id = $1 and webhook_id = $2
"""

# Through an index, though it may count all. Who was served waits anew since then: that an endpoint is slow is no backlog.
_BACKLOG = """
select coalesce(max(extract(epoch from clock_timestamp() - greatest(due_at, served_at, leased_until)))
                    filter (where due_at <= clock_timestamp() and leased_until <= clock_timestamp()), 0)::float8 as age_seconds,
       count(*) filter (where circuit_open_until > clock_timestamp()) as open_circuits
  from webhooks where not is_paused and due_at < 'infinity'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedMessage:
    """A message as Kafka has it, and when it was put there; `contact_id` is None where it is about nobody."""

    message: EncodedMessage
    contact_id: str | None
    published_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A webhook whose deliveries nobody else sends meanwhile; `secrets` are sealed."""

    lease_id: str
    account_id: str
    webhook_id: str
    url: str
    secrets: bytes
    failures_in_a_row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueDelivery:
    """A message that is to be sent now; `attempts`: how many there were."""

    message_id: str
    topic: str
    occurred_at: datetime
    body: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What was sent, and what came of it; without `status` there was no answer. `error` is None where it counts as delivered."""

    url: str
    headers: Mapping[str, str]
    duration_seconds: float
    status: int | None
    error: str | None
    answer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How long the endpoint has waited that has waited longest, by PostgreSQL's clock; and how many are left alone."""

    age_seconds: float
    open_circuits: int


class DeliveryQueue:
    """The deliveries of all accounts, over connections that see them all. Everything raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, published: Sequence[PublishedMessage]) -> int:
        """Stores messages for the webhooks that want them, once each however often they are told; returns how many are new."""
        if not published:
            return 0
        columns = [
            (one.message.account_id, one.message.message_id, one.message.topic, one.contact_id, one.message.time,
             one.message.body, one.published_at)
            for one in published
        ]  # fmt: skip
        async with self._database.transaction() as connection:
            stored = await connection.fetch(_STORE, *map(list, zip(*columns, strict=True)), EARLIER)
            if stored:
                endpoints = sorted({(row["account_id"], row["webhook_id"]) for row in stored})
                await connection.execute(_MAKE_DUE, *map(list, zip(*endpoints, strict=True)))
        # Committed first: whoever erases a contact at this moment sees the deliveries, or is seen by us. And looked at whatever
        # was found before: whoever stored them may have been killed here.
        contacts = {(one.message.account_id, one.contact_id) for one in published if one.contact_id is not None}
        async with self._database.transaction() as connection:
            families = await read_families(connection, contacts)
            if families.erased:
                await erase_deliveries(connection, families)
        return len(stored)

    async def lease(self, lease_id: str, *, seconds: float, without: Sequence[str]) -> Lease | None:
        """The webhook that is next, for so long; None where none has anything due but those of accounts `without`."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_LEASE, list(without), lease_id, seconds)
        return None if row is None else Lease(lease_id=lease_id, **row)

    async def due(self, lease: Lease, limit: int, *, most_bytes: int) -> Sequence[DueDelivery]:
        """What is to be sent now, what has waited longest first; no more once their bodies have so many bytes together."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(_DUE, lease.account_id, lease.webhook_id, limit, most_bytes)
        return [DueDelivery(**row) for row in rows]

    async def note(self, lease: Lease, delivery: DueDelivery, attempt: Attempt, *, delay_seconds: float) -> str | None:
        """Notes an attempt; the delivery's state now, None where it had ended before.

        Without success the next attempt comes after the delay, or never where that is too late. An endpoint that is gone is
        paused.
        """
        where = lease.account_id, lease.webhook_id
        async with self._database.transaction() as connection:
            noted = await connection.fetchrow(
                _NOTE, *where, delivery.message_id, attempt.url, encode_json(dict(attempt.headers)),
                attempt.duration_seconds, attempt.status, attempt.error, attempt.answer, is_delivered(attempt.status),
                delay_seconds, PATIENCE,
            )  # fmt: skip
            # The row as it is now, and not as the statement's snapshot has it: whoever erased it could not see this attempt.
            if attempt.answer and (noted is None or noted["body"] != delivery.body):
                await erase_answers(connection, [(*where, delivery.message_id)])
            if attempt.status == GONE:
                webhook = {"webhook_id": lease.webhook_id}
                documents = (encode_json(webhook | {"paused": is_paused}) for is_paused in (False, True))
                await connection.execute(_PAUSE, *where, attempt.url, *documents)
        return None if noted is None else str(noted["state"])

    async def release(self, lease: Lease, *, failures_in_a_row: int) -> None:
        """Ends a lease, and tells how the endpoint fares; unless it ended by itself and somebody else has the webhook now."""
        where = lease.account_id, lease.webhook_id
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK, *where, lease.lease_id) is not None:
                await connection.execute(_RELEASE, *where, failures_in_a_row, open_seconds(failures_in_a_row))

    async def backlog(self) -> Backlog:
        """How far the deliverers are behind."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_BACKLOG)
        assert row is not None  # noqa: S101 - narrows: an aggregate has always a row
        return Backlog(**row)
