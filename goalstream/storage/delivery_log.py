"""The delivery log of a webhook: what was sent, what came of it, and what is to be sent again.

Deliveries are locked before their webhook, as those lock them who send: so nobody waits for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from goalstream.domain.deliveries import envelope
from goalstream.domain.webhooks import TEST_TOPIC
from goalstream.errors import WebhookNotFound
from goalstream.storage.audit import write_audit
from goalstream.storage.codecs import decode_json, encode_json
from goalstream.storage.pool import Connection, Database, Row

DeliveryState = Literal["pending", "delivered", "parked"]

MOST_REDRIVEN = 10_000
"""Deliveries in one transaction: a second."""

MOST_ATTEMPTS = 100
"""That are shown of one delivery."""

_EXISTS = "select 1 from webhooks where account_id = $1 and webhook_id = $2"

_COLUMNS = """
message_id::text, topic, state, attempts as attempt_count, occurred_at, created_at, next_attempt_at, give_up_at, ended_at
"""


def _page(condition: str) -> str:
    return f"""
select {_COLUMNS} from webhook_deliveries
 where account_id = $1 and webhook_id = $2 and (created_at, message_id) < ($3, $4::uuid) {condition}
 order by created_at desc, message_id desc
 limit $5
"""


_ALL = _page("")
_OF_STATE = _page("and state = $6")

_ONE = f"""
select {_COLUMNS}, body from webhook_deliveries where account_id = $1 and webhook_id = $2 and message_id = $3
"""

_ATTEMPTS = """
select at, url, headers, duration_seconds, status, error, answer from webhook_attempts
 where account_id = $1 and webhook_id = $2 and message_id = $3
 order by at desc
 limit $4
"""

_INSERT_TEST = f"""
insert into webhook_deliveries (account_id, webhook_id, message_id, topic, occurred_at, body, state, created_at, next_attempt_at)
select $1, $2, $3, $4, now, $5, 'pending', now, now from clock_timestamp() as now
returning {_COLUMNS}
"""

_AGAIN = """state = 'pending', attempts = 0, next_attempt_at = clock_timestamp(), give_up_at = null, ended_at = null"""

_REDRIVE = f"""
update webhook_deliveries set {_AGAIN} where account_id = $1 and webhook_id = $2 and message_id = $3
returning {_COLUMNS}
"""

_OLDEST_PARKED = """
select message_id::text from webhook_deliveries
 where account_id = $1 and webhook_id = $2 and state = 'parked'
 order by created_at, message_id
 limit $3
"""

# Locked in the order in which everybody locks several deliveries.
_REDRIVE_PARKED = f"""
with locked as materialized (
    select delivery.account_id, delivery.webhook_id, delivery.message_id
      from webhook_deliveries as delivery
      join unnest($1::uuid[], $2::uuid[], $3::uuid[]) as oldest (account_id, webhook_id, message_id)
        on delivery.account_id = oldest.account_id and delivery.webhook_id = oldest.webhook_id
       and delivery.message_id = oldest.message_id
     where (state = 'parked') is true
     order by delivery.message_id
       for update of delivery)
update webhook_deliveries set {_AGAIN}
  from locked
 where webhook_deliveries.account_id = locked.account_id and webhook_deliveries.webhook_id = locked.webhook_id
   and webhook_deliveries.message_id = locked.message_id
"""

_PARKED = "select count(*) from webhook_deliveries where account_id = $1 and webhook_id = $2 and state = 'parked'"

_MAKE_DUE = """
update webhooks set due_at = least(due_at, clock_timestamp()) where account_id = $1 and webhook_id = $2
returning version
"""


class DeliveryKey(NamedTuple):
    """Where a delivery stands in the log."""

    created_at: datetime
    message_id: str


_NEWEST = DeliveryKey(datetime.max.replace(tzinfo=UTC), "ffffffff-ffff-ffff-ffff-ffffffffffff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """How many deliveries are sent again, and how many are parked still: too many for once."""

    redriven: int
    remaining: int


class DeliveryLog:
    """The deliveries to one webhook. Everything raises WebhookNotFound, or DatabaseUnavailable."""

    def __init__(self, database: Database, *, account_id: str, webhook_id: str) -> None:
        self._database = database
        self._account_id = account_id
        self._where = account_id, webhook_id

    async def page(
        self, *, state: DeliveryState | None, limit: int, after: DeliveryKey | None
    ) -> Sequence[dict[str, Any]]:
        """Up to `limit` deliveries, newest first: all, or those of one state, that come after one."""
        statement, values = (_ALL, ()) if state is None else (_OF_STATE, (state,))
        async with self._database.transaction(self._account_id) as connection:
            await self._require(connection)
            rows = await connection.fetch(statement, *self._where, *(after or _NEWEST), limit, *values)
        return [dict(row) for row in rows]

    async def show(self, message_id: str) -> dict[str, Any]:
        """A delivery with its body and its attempts, the newest first."""
        async with self._database.transaction(self._account_id) as connection:
            await self._require(connection)
            row = self._found(await connection.fetchrow(_ONE, *self._where, message_id), message_id)
            attempts = await connection.fetch(_ATTEMPTS, *self._where, message_id, MOST_ATTEMPTS)
        return {
            **{name: value for name, value in row.items() if name != "body"},
            "body": envelope(row["topic"], row["occurred_at"], row["body"]).decode(),
            "attempts": [dict(one) | {"headers": decode_json(one["headers"])} for one in attempts],
        }

    async def send_test(self, actor: str) -> dict[str, Any]:
        """A new message that says it is a test, which is sent at once."""
        body = {"webhook_id": self._where[1], "sent_by": actor}
        async with self._database.transaction(self._account_id) as connection:
            row = await connection.fetchrow(_INSERT_TEST, *self._where, str(uuid4()), TEST_TOPIC, encode_json(body))
            assert row is not None  # noqa: S101 - narrows: what was inserted is returned
            delivery = dict(row)
            await self._note(connection, "webhook_tested", actor, {"message_id": delivery["message_id"]})
        return delivery

    async def redrive(self, message_id: str, *, actor: str) -> dict[str, Any]:
        """A delivery that is sent again at once, and tried for a day, whatever had become of it."""
        async with self._database.transaction(self._account_id) as connection:
            await self._require(connection)
            row = await connection.fetchrow(_REDRIVE, *self._where, message_id)
            delivery = dict(self._found(row, message_id))
            await self._note(connection, "deliveries_redriven", actor, {"message_id": message_id, "deliveries": 1})
        return delivery

    async def redrive_parked(self, *, actor: str) -> Redriven:
        """Has parked deliveries sent again, the oldest first: 10,000 at the most."""
        async with self._database.transaction(self._account_id) as connection:
            await self._require(connection)
            oldest = await connection.fetch(_OLDEST_PARKED, *self._where, MOST_REDRIVEN)
            keys = [(*self._where, row["message_id"]) for row in oldest]
            columns = map(list, zip(*keys, strict=True)) if keys else ([], [], [])
            done = await connection.execute(_REDRIVE_PARKED, *columns)
            redriven = int(done.removeprefix("UPDATE "))
            if redriven:
                await self._note(connection, "deliveries_redriven", actor, {"deliveries": redriven})
        # Counting takes as long as there are many: nobody shall wait for the rows above meanwhile.
        async with self._database.transaction(self._account_id) as connection:
            remaining = await connection.fetchval(_PARKED, *self._where)
        return Redriven(redriven=redriven, remaining=remaining)

    async def _require(self, connection: Connection) -> None:
        if await connection.fetchval(_EXISTS, *self._where) is None:
            raise self._missing()

    async def _note(self, connection: Connection, action: str, actor: str, what: dict[str, Any]) -> None:
        """Has the webhook looked at by those who send, and writes the audit."""
        version = await connection.fetchval(_MAKE_DUE, *self._where)
        if version is None:
            raise self._missing()
        after = {"webhook_id": self._where[1]} | what
        await write_audit(
            connection, self._account_id, actor=actor, action=action, before=None, after=after, version=version
        )

    def _missing(self) -> WebhookNotFound:
        return WebhookNotFound(f"There is no webhook {self._where[1]}")

    def _found(self, row: Row | None, message_id: str) -> Row:
        if row is None:
            raise WebhookNotFound(f"There is no delivery {message_id} to webhook {self._where[1]}")
        return row
