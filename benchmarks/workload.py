"""What the benchmarks measure on: services, goals, enrolled contacts, and events of which a share matches."""

from __future__ import annotations

import asyncio
import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console
from rich.progress import Progress

from goalstream.domain.facts import EnrollmentStart
from goalstream.storage.ledger import Ledger
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.topics import EVENT_TOPICS, READ_TOPICS, create_topics
from tests.services.tiers import running_kafka, running_postgres

PARTITIONS = 4
ACCOUNTS = 100
GOALS_PER_ACCOUNT = 10
PORTION = 10_000

# For each topic: the goal type, and the field whose value a goal asks for.
KINDS = {
    "contact.tag.added": ("tag_added", "tag_id"),
    "payment.completed": ("purchase_made", "product_id"),
    "appointment.booked": ("appointment_booked", "calendar_id"),
    "form.submitted": ("form_submitted", "form_id"),
    "pipeline.stage.changed": ("pipeline_stage_reached", "stage_id"),
}

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class BenchmarkGoal:
    """A goal, and what an event must say to match it."""

    account_id: str
    workflow_id: str
    goal_id: str
    topic: str
    value: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An event that will match: whose it is, and which enrollment achieves the goal by it."""

    goal: BenchmarkGoal
    contact_id: str
    enrollment_id: str


@dataclass
class Workload:
    """A fresh database and fresh topics with goals and enrolled contacts in them."""

    kafka: str
    database_url: str
    prefix: str
    seed: int
    goals: list[BenchmarkGoal] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.database = Database(self.database_url, size=4, sees_all_accounts=True)
        self.accounts = [self._uuid() for _ in range(ACCOUNTS)]

    async def prepare(self, hits: int) -> None:
        """Migrates, creates topics and 1,000 goals, and enrolls a contact for every event that will match."""
        await migrate(self.database_url)
        await create_topics(self.kafka, prefix=self.prefix, partitions=PARTITIONS, replication_factor=0)
        for account_id in self.accounts:
            for number in range(GOALS_PER_ACCOUNT):
                topic = EVENT_TOPICS[number % len(EVENT_TOPICS)]
                self.goals.append(BenchmarkGoal(account_id, self._uuid(), self._uuid(), topic, f"wanted-{number}"))
        await self._insert_goals()
        for _ in range(hits):
            self.hits.append(Hit(self.random.choice(self.goals), self._uuid(), self._uuid()))
        await self._enroll()

    def event(self, hit: Hit | None) -> tuple[str, bytes, bytes]:
        """Topic, key and value of an event of about 300 bytes, which happens now."""
        if hit is None:
            topic, contact_id = self.random.choice(EVENT_TOPICS), self._uuid()
            account_id, value = self.random.choice(self.accounts), f"other-{self.random.randrange(1_000)}"
        else:
            topic, contact_id = hit.goal.topic, hit.contact_id
            account_id, value = hit.goal.account_id, hit.goal.value
        data = {"contact_id": contact_id, KINDS[topic][1]: value}
        if topic == "payment.completed":
            data |= {"amount": "149.99", "currency": "EUR"}
        elif topic == "pipeline.stage.changed":
            data["pipeline_id"] = "sales"
        document = {
            "event_id": self._uuid(),
            "event_type": topic,
            "account_id": account_id,
            "timestamp": datetime.now(UTC).isoformat(),
            "data": data,
        }
        return topic, contact_id.encode(), json.dumps(document).encode()

    async def produce(self, events: int) -> None:
        """Sends `events` events, the hits spread evenly among them, and waits for their acknowledgement."""
        places = dict(zip(self.random.sample(range(events), len(self.hits)), self.hits, strict=True))
        async with self.producer(linger_ms=20) as producer:
            with Progress(console=console, transient=True) as progress:
                task = progress.add_task("producing", total=events)
                for first in range(0, events, PORTION):
                    pending = []
                    for number in range(first, min(first + PORTION, events)):
                        topic, key, value = self.event(places.get(number))
                        pending.append(await producer.send(self.prefix + topic, value, key=key))
                    await asyncio.gather(*pending)
                    progress.update(task, advance=len(pending))

    @asynccontextmanager
    async def producer(self, *, linger_ms: int) -> AsyncIterator[AIOKafkaProducer]:
        """A producer that is ready."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka, linger_ms=linger_ms, max_batch_size=131_072)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    def start_worker(self) -> subprocess.Popen[bytes]:
        """`goalstream worker` on this workload."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GOALSTREAM_")}
        environment |= {
            "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "GOALSTREAM_DATABASE_URL": self.database_url,
            "GOALSTREAM_KAFKA_TOPIC_PREFIX": self.prefix,
            "GOALSTREAM_KAFKA_GROUP_ID": self.group,
            "GOALSTREAM_METRICS_PORT": "0",
            "GOALSTREAM_LOG_LEVEL": "warning",
        }
        return subprocess.Popen([sys.executable, "-m", "goalstream", "worker"], env=environment)

    @property
    def group(self) -> str:
        return f"{self.prefix}group"

    async def committed(self) -> int:
        """How many records the worker's group has committed, over all topics that it reads."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        topics = {self.prefix + topic for topic in READ_TOPICS}
        return sum(max(found.offset, 0) for partition, found in offsets.items() if partition.topic in topics)

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        async with self.database.connection() as connection:
            found = await connection.fetchval(f"select count(*) from {table}")
        return int(found)

    def _uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    async def _insert_goals(self) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=30)
        async with self.database.transaction() as connection:
            await connection.executemany(
                """insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active,
                                              is_deleted, measure_after_exit_seconds, effective_from, goal_created_at,
                                              written_at, written_by)
                   values ($1, $2, 1, $3, $4, $5, true, false, 0, $6, $6, $6, 'benchmark')""",
                [
                    (goal.account_id, goal.goal_id, goal.workflow_id, KINDS[goal.topic][0], _criteria(goal), long_ago)
                    for goal in self.goals
                ],
            )

    async def _enroll(self) -> None:
        ledger, now = Ledger(self.database, allowed_lateness=timedelta(hours=72)), datetime.now(UTC)
        starts = [
            EnrollmentStart(
                account_id=hit.goal.account_id,
                enrollment_id=hit.enrollment_id,
                workflow_id=hit.goal.workflow_id,
                contact_id=hit.contact_id,
                entered_at=now - timedelta(hours=1),
                trigger_event_id=None,
                source="benchmark",
                event_id=hit.enrollment_id,
                record_at=now,
            )
            for hit in self.hits
        ]
        for first in range(0, len(starts), PORTION):
            await ledger.store(starts[first : first + PORTION])
        async with self.database.connection() as connection:
            await connection.execute("analyze")


def _criteria(goal: BenchmarkGoal) -> str:
    criteria = {KINDS[goal.topic][1]: goal.value}
    if goal.topic == "pipeline.stage.changed":
        criteria["pipeline_id"] = "sales"
    return json.dumps(criteria)


@contextmanager
def services(kafka: str | None, database: str | None) -> Iterator[tuple[str, str]]:
    """The addresses of a Kafka and a PostgreSQL: those given, or some of our own for the length of the block."""
    with (
        running_kafka() if kafka is None else _given(kafka) as broker,
        running_postgres() if database is None else _given(database) as url,
    ):
        yield broker if isinstance(broker, str) else broker.bootstrap_servers, url


@contextmanager
def _given(address: str) -> Iterator[str]:
    yield address


def new_prefix() -> str:
    """A prefix for topics that no other run knows."""
    return f"bench-{secrets.token_hex(3)}."
