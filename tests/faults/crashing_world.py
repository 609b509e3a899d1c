"""A Kafka of lists and workers on a real PostgreSQL, in one process, where everything can crash at any await."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import Any

from goalstream.errors import BrokerUnavailable
from goalstream.observability.health import Health
from goalstream.storage.ledger import Ledger
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.streams import connection
from goalstream.streams.dead_letters import DeadLetters
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.processor import Processor
from goalstream.streams.producer import Outgoing, Producer
from goalstream.streams.publisher import Publisher
from goalstream.streams.topics import READ_TOPICS
from goalstream.worker import GoalSource
from tests.faults import acknowledged
from tests.faults.crash import Crashed, Crashing
from tests.faults.evidence import ACHIEVED, DEAD_LETTER, EXIT, REVOKED, Evidence, messages, tables
from tests.faults.expectation import expectation
from tests.faults.judge import Findings, judge, stable_id
from tests.faults.topics import Stored
from tests.integration.builders import put_goal_versions
from tests.oracle.generator import LATENESS
from tests.oracle.history import Headers, History, Record

WORKERS = 2
GONE_SECONDS = 20

_ALIVE = "select count(*) from pg_stat_activity where pid = any ($1)"

_FORGET = """
delete from matches; delete from enrollment_starts; delete from enrollment_ends; delete from enrollments;
delete from workflow_statuses; delete from contact_merges; delete from contact_deletions;
delete from achievements; delete from outbox; delete from audit; delete from goal_versions; delete from goals
"""

# In one statement, since what a crash has left on its way may still be committed.
_TRUE = """
select account_id::text, enrollment_id::text, goal_id::text, revision, null as message_id from achievements
 union all
select account_id::text, enrollment_id::text, null, null, null from enrollments where exited_at is not null
 union all
select null, null, null, null, message_id::text from outbox
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A record as a processor takes it."""

    topic: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int
    partition: int = 0


@dataclass(slots=True)
class Kafka:
    """Topics of one partition each, where the group's offsets stand, and what was published."""

    topics: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    published: list[Outgoing] = field(default_factory=list)

    def next_batch(self, topic: str, most: int) -> list[Delivered]:
        """The records after the committed offset."""
        first = self.committed[topic]
        return [
            Delivered(
                topic=topic,
                timestamp=record.timestamp,
                key=record.key,
                value=record.value,
                headers=record.headers,
                offset=offset,
            )
            for offset, record in enumerate(self.topics[topic][first : first + most], start=first)
        ]

    def acknowledged(self) -> list[Stored]:
        """Everything below the committed offsets."""
        return [
            Stored(origin=(topic, 0, offset), record=record)
            for topic, records in self.topics.items()
            for offset, record in enumerate(records[: self.committed[topic]])
        ]

    def sent(self) -> list[Stored]:
        """What was published, as one finds it on the topics."""
        return [
            Stored(
                origin=(topic, 0, offset),
                record=Record(topic=topic, timestamp=0, key=key, value=value, headers=tuple(headers)),
            )
            for offset, (topic, key, value, headers) in enumerate(self.published)
        ]


class Link(StrEnum):
    """How things stand between a producer and the brokers."""

    WELL = "well"
    LOSES_ANSWERS = "loses answers"
    LOSES_REQUESTS = "loses requests"


class _Producer(Producer):
    """Puts one record after the other into our Kafka, each a moment after the one before, unless `link` loses something."""

    def __init__(self, kafka: Kafka) -> None:
        super().__init__(connection.Kafka(bootstrap_servers="nowhere:9092"))
        self._log = kafka
        self.link = Link.WELL

    async def send(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            await asyncio.sleep(0)
            if self.link is not Link.LOSES_REQUESTS:
                self._log.published.append(record)
        await asyncio.sleep(0)
        if self.link is not Link.WELL:
            raise BrokerUnavailable("nobody has answered")


class Connections:
    """To PostgreSQL, through all histories: ours, and those of the workers, anew whenever one of them has died."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self.ours = Database(database_url, size=1, sees_all_accounts=True)
        self._of_workers = [self._new() for _ in range(WORKERS)]
        self._cut: list[int] = []

    def __getitem__(self, worker: int) -> Database:
        return self._of_workers[worker]

    def cut_off(self, worker: int) -> None:
        """As a process dies: the system closes its connections, whatever was going on on them."""
        database, self._of_workers[worker] = self._of_workers[worker], self._new()
        pool: Any = database._pool
        if pool is not None:
            open_ones = [holder._con for holder in pool._holders if holder._con is not None]
            self._cut += [connection.get_server_pid() for connection in open_ones if not connection.is_closed()]
            pool.terminate()

    async def until_the_dead_are_gone(self) -> None:
        """Returns when PostgreSQL does nothing more for those who have died. Raises TimeoutError."""
        async with asyncio.timeout(GONE_SECONDS), self.ours.connection() as connection:
            while await connection.fetchval(_ALIVE, self._cut):  # noqa: ASYNC110 - PostgreSQL sets no event
                await asyncio.sleep(0.002)
        self._cut.clear()

    async def close(self) -> None:
        """Closes all."""
        for database in (self.ours, *self._of_workers):
            await database.close()

    def _new(self) -> Database:
        return Database(self._url, size=1, sees_all_accounts=True)


class Worker:
    """What a worker process holds between Kafka and PostgreSQL, through all its lives."""

    def __init__(self, kafka: Kafka, connections: Connections, number: int) -> None:
        self._kafka = kafka
        self._connections = connections
        self._number = number
        self.crashes = 0
        self._begin_life()

    def _begin_life(self) -> None:
        database = self._connections[self._number]
        self._producer = _Producer(self._kafka)
        # Nothing is ahead of the sweepers, so that they race with whoever has just written.
        ledger = Ledger(database, allowed_lateness=LATENESS, publish_ahead_seconds=0)
        self._publisher = Publisher(self._producer, Outbox(database), topic_prefix="")
        self._processor = Processor(
            ledger=ledger,
            goals=GoalCache(GoalSource(database), activation_delay=timedelta(0)),
            publisher=self._publisher,
            dead_letters=DeadLetters(self._producer, topic_prefix="", max_in_a_row=0, max_share=0),
            retry=RetryInPlace(Health()),
            allowed_lateness=LATENESS,
        )

    async def process(self, topic: str, most: int, crash_at: int | None, *, acknowledges: bool = True) -> None:
        """One batch of a topic; acknowledged when it is done, unless the group has gone on without this worker."""
        batch = self._kafka.next_batch(topic, most)
        if not batch:
            return
        survives = await self._survives(partial(self._processor.process, topic, {(topic, 0): batch}), crash_at)
        if survives and acknowledges:
            self._kafka.committed[topic] = max(self._kafka.committed[topic], batch[-1].offset + 1)

    async def publish(self, crash_at: int | None, link: Link = Link.WELL) -> None:
        """What was handed over since the last time; without an answer of Kafka it is left to the sweepers."""
        self._producer.link = link
        publishing = asyncio.create_task(self._survives(self._publisher.publish_waiting, crash_at))
        drained = asyncio.create_task(self._publisher.drain())
        await asyncio.wait([publishing, drained], return_when=asyncio.FIRST_COMPLETED)
        for task in (publishing, drained):
            task.cancel()
        await asyncio.gather(publishing, drained, return_exceptions=True)
        self._producer.link = Link.WELL

    async def sweep(self, crash_at: int | None, link: Link = Link.WELL) -> None:
        """Everything that is due."""
        self._producer.link = link
        with suppress(BrokerUnavailable):
            await self._survives(self._publisher.sweep, crash_at)
        self._producer.link = Link.WELL

    async def _survives(self, work: Callable[[], Coroutine[Any, Any, None]], crash_at: int | None) -> bool:
        """Whether the work was not broken off by a crash; after one a new life has begun."""
        async with self._connections[self._number].connection():
            pass  # so that it is there: a crash while it is made would leave one that nobody knows
        try:
            await Crashing(work(), crash_at, partial(self._connections.cut_off, self._number))
        except Crashed:
            self.crashes += 1
            self._begin_life()
            return False
        return True


class CrashingWorld:
    """A history that is told to two workers."""

    def __init__(self, connections: Connections, told: History) -> None:
        self._connections = connections
        self._database = connections.ours
        self._told = told
        self._kafka = Kafka()
        for record in told.records:
            self._kafka.topics[record.topic].append(record)
        self.workers = tuple(Worker(self._kafka, connections, number) for number in range(WORKERS))
        self.evidence = Evidence()

    async def begin(self) -> None:
        """Puts the goals into a database in which nothing else is left, and nobody else is at work."""
        await self._connections.until_the_dead_are_gone()
        async with self._database.transaction() as connection:
            await connection.execute(_FORGET)
        await put_goal_versions(self._database, self._told.goal_versions)

    async def process(self, worker: int, topic: int, most: int, crash_at: int | None, *, acknowledges: bool) -> None:
        """One worker takes a batch of one of the topics of which something is left."""
        left = [name for name, records in self._kafka.topics.items() if self._kafka.committed[name] < len(records)]
        if left:
            await self.workers[worker].process(left[topic % len(left)], most, crash_at, acknowledges=acknowledges)

    def set_back(self, topic: int, back: int) -> None:
        """The group reads some records of a topic again."""
        name = sorted(self._kafka.topics)[topic % len(self._kafka.topics)]
        self._kafka.committed[name] = max(self._kafka.committed[name] - back, 0)

    async def work_off(self, topics: Iterable[str] = READ_TOPICS) -> None:
        """Everything that is left on topics, without crashes."""
        for topic in topics:
            await self.workers[0].process(topic, len(self._kafka.topics[topic]), None)
        for worker in self.workers:
            await worker.publish(None)
            await worker.sweep(None)

    async def look(self) -> Findings:
        """What must hold at any moment: acknowledged is stored, and of what is true every message is there or on its way."""
        stored = await acknowledged.stored(self._database)
        below = acknowledged.facts(self._kafka.acknowledged(), self._told.goal_versions)
        published = {message.message_id for message in messages(self._kafka.sent()) if message.topic != DEAD_LETTER}
        rows = await self._rows(_TRUE)
        waiting = {row["message_id"] for row in rows if row["message_id"] is not None}
        due = {one for row in rows if row["message_id"] is None for one in _messages_of(row)}
        return Findings(
            lost=[
                *(f"acknowledged, but not in PostgreSQL: {fact}" for fact in below - stored),
                *(f"message {one} is neither published nor in the outbox" for one in due - published - waiting),
            ],
            wrong=[f"message {one} is told, and no row makes it true" for one in (published | waiting) - due],
        )

    async def judge(self) -> Findings:
        """The verdict on everything, when all is worked off."""
        told = [
            Stored(origin=(topic, 0, offset), record=record)
            for topic, records in self._kafka.topics.items()
            for offset, record in enumerate(records)
        ]
        self.evidence = await tables(self._database)
        sent = self._kafka.sent()
        self.evidence.messages = messages(one for one in sent if one.record.topic != DEAD_LETTER)
        self.evidence.dead_letters = [one for one in sent if one.record.topic == DEAD_LETTER]
        return judge(expectation(self._told.goal_versions, told, LATENESS), self.evidence)

    async def _rows(self, query: str) -> list[Any]:
        async with self._database.connection() as connection:
            return list(await connection.fetch(query))


async def wait_for_no_disk(database: Database) -> None:
    """PostgreSQL itself does not crash here, so that its commits need not wait until they are on the disk."""
    async with database.connection() as connection:
        name = await connection.fetchval("select current_database()")
        await connection.execute(f"alter database {name} set synchronous_commit = off")


def _messages_of(row: Mapping[str, Any]) -> Iterator[str]:
    """The ids of all messages that a row has ever made true."""
    enrollment = row["account_id"], row["enrollment_id"]
    if row["goal_id"] is None:
        yield stable_id(EXIT, *enrollment)
        return
    achievement = stable_id("achievement", *enrollment, row["goal_id"])
    for revision in range(1, row["revision"] + 1):
        yield stable_id(ACHIEVED if revision % 2 else REVOKED, achievement, str(revision))
