"""The outbox: messages written in the transaction that makes them true, until Kafka has acknowledged them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from goalstream.domain.messages import EncodedMessage, Message
from goalstream.storage.codecs import encode_json, uuid_columns
from goalstream.storage.pool import Connection, Database

_INSERT = """
insert into outbox (account_id, message_id, topic, subject, time, body, traceparent, created_at, publish_after)
select account_id, message_id, topic, subject, time, body, traceparent,
       clock_timestamp(), clock_timestamp() + make_interval(secs => $2)
  from unnest($1::outbox_row[])
on conflict (account_id, message_id) do nothing
"""

_DELETE = """
delete from outbox using unnest(uuids($1), uuids($2)) as done (account_id, message_id)
 where outbox.account_id = done.account_id and outbox.message_id = done.message_id
"""

# By the time at which the statement began: with a clock that goes on, it would look at those that are not due yet as well.
_DUE = """
select account_id::text, message_id::text, topic, subject, time, body, traceparent, created_at
  from outbox
 where publish_after <= statement_timestamp()
 order by publish_after
 limit $1
   for update skip locked
"""

_POSTPONE = """
update outbox set publish_after = clock_timestamp() + make_interval(secs => $3)
  from unnest(uuids($1), uuids($2)) as refused (account_id, message_id)
 where outbox.account_id = refused.account_id and outbox.message_id = refused.message_id
"""

# Through an index, though it counts all: the table may be large with nothing in it.
_DEPTH = """
select count(*) as messages,
       coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float8 as age_seconds
  from outbox
 where publish_after > '-infinity'
"""

_key = itemgetter(0, 1)


def _keys(messages: Sequence[EncodedMessage]) -> list[str]:
    """Account and message ids, in the order in which everybody locks the rows."""
    return uuid_columns(sorted(map(_key, messages)), 2)


async def insert(
    connection: Connection, messages: Sequence[Message], *, publish_after_seconds: float
) -> list[EncodedMessage]:
    """Puts messages into the outbox; the sweepers leave them alone for `publish_after_seconds`."""
    if not messages:
        return []
    encoded = [
        EncodedMessage(
            message.account_id,
            message.message_id,
            message.topic,
            message.subject,
            message.time,
            encode_json(message.data),
            message.traceparent,
        )
        for message in messages
    ]
    await connection.execute(_INSERT, encoded, publish_after_seconds)
    return encoded


async def delete(connection: Connection, messages: Sequence[EncodedMessage]) -> None:
    """Takes out messages that Kafka has acknowledged."""
    await connection.execute(_DELETE, *_keys(messages))


POSTPONED_SECONDS = 60.0
"""A message that its topic does not take is tried again so often: somebody has to change the topic."""


@dataclass(slots=True)
class Portion:
    """Messages that are due, and what the sweeper says became of them; the others stay as they are."""

    messages: Sequence[EncodedMessage]
    since: Sequence[datetime]
    """When each was put into the outbox."""

    acknowledged: Sequence[EncodedMessage] = ()
    too_large: Sequence[EncodedMessage] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How many messages are in the outbox, and how long the oldest has been there, by PostgreSQL's clock."""

    messages: int
    age_seconds: float


class Outbox:
    """The outbox as the publisher sees it. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def delete(self, messages: Sequence[EncodedMessage]) -> None:
        """Takes out messages that Kafka has acknowledged."""
        async with self._database.connection() as connection:
            await delete(connection, messages)

    @asynccontextmanager
    async def due(self, limit: int) -> AsyncIterator[Portion]:
        """Up to `limit` messages that are due and that nobody else is publishing.

        At the end of the block those that Kafka has acknowledged are deleted, and those too large postponed.
        """
        async with self._database.transaction() as connection:
            rows = await connection.fetch(_DUE, limit)
            portion = Portion([EncodedMessage(*row[:-1]) for row in rows], [row[-1] for row in rows])
            yield portion
            if portion.acknowledged:
                await delete(connection, portion.acknowledged)
            if portion.too_large:
                await connection.execute(_POSTPONE, *_keys(portion.too_large), POSTPONED_SECONDS)

    async def depth(self) -> Depth:
        """What is in it now, of all accounts and whoever wrote it."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_DEPTH)
        assert row is not None  # noqa: S101 - narrows: an aggregate has always a row
        return Depth(**row)
