"""What the benchmarks feed: goals, enrolled contacts, and events of which a known share achieves a goal."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from confluent_kafka import KafkaError, Message, Producer
from rich.console import Console
from rich.progress import Progress

from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import ENROLLMENT_STARTED, EVENT_TOPICS, create_topics

PARTITIONS = 4
ACCOUNTS = 100
GOALS_PER_ACCOUNT = 10
EVENT_BYTES = 300
"""Shorter events are filled up; the longest are a few bytes longer."""

PORTION = 5_000

# For each topic: the goal type, and the field whose value a goal asks for.
KINDS = {
    "contact.tag.added": ("tag_added", "tag_id"),
    "payment.completed": ("purchase_made", "product_id"),
    "appointment.booked": ("appointment_booked", "calendar_id"),
    "form.submitted": ("form_submitted", "form_id"),
    "pipeline.stage.changed": ("pipeline_stage_reached", "stage_id"),
}
# Beside the contact and that field; each is JSON with a comma in front.
MORE_DATA = {
    "payment.completed": ',"amount":"149.99","currency":"EUR"',
    "pipeline.stage.changed": ',"pipeline_id":"sales"',
}

console = Console(stderr=True)


class Record(NamedTuple):
    """What is sent; the topic is without its prefix."""

    topic: str
    key: str
    value: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkGoal:
    """A goal, the only one of its workflow, and what an event must say to match it."""

    account_id: str
    workflow_id: str
    goal_id: str
    topic: str
    value: str

    @property
    def criteria(self) -> str:
        """As JSON."""
        criteria = {KINDS[self.topic][1]: self.value}
        return json.dumps(criteria | ({"pipeline_id": "sales"} if self.topic == "pipeline.stage.changed" else {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An event that matches, and the enrollment that achieves the goal by it, for the first and only time."""

    goal: BenchmarkGoal
    contact_id: str
    enrollment_id: str
    event_id: str

    @property
    def achieved_message_id(self) -> str:
        """The `ce_id` to expect, derived from the contract and not by the program that is measured."""
        account, enrollment, goal = self.goal.account_id, self.enrollment_id, self.goal.goal_id
        achievement = uuid5(NAMESPACE_URL, f"goalstream:achievement:{account}:{enrollment}:{goal}")
        return str(uuid5(NAMESPACE_URL, f"goalstream:workflow.goal.achieved:{achievement}:1"))

    @property
    def exit_message_id(self) -> str:
        """The `ce_id` of the exit to expect."""
        name = f"goalstream:workflow.exit.goal:{self.goal.account_id}:{self.enrollment_id}"
        return str(uuid5(NAMESPACE_URL, name))


class Workload:
    """Fresh topics, and goals in a database that has none yet; the same seed gives the same ids and events."""

    def __init__(self, kafka: str, database_url: str, *, seed: int) -> None:
        self.kafka = kafka
        self.database_url = database_url
        self.prefix = f"bench-{secrets.token_hex(4)}."
        self.group = f"{self.prefix}workers"
        self.hits: list[Hit] = []
        self.goals: list[BenchmarkGoal] = []
        self._random = random.Random(seed)
        self._accounts = [self._uuid() for _ in range(ACCOUNTS)]

    def environment(self) -> dict[str, str]:
        """The settings of a worker on this workload; all others are at their defaults."""
        return {
            "GOALSTREAM_KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "GOALSTREAM_DATABASE_URL": self.database_url,
            "GOALSTREAM_KAFKA_TOPIC_PREFIX": self.prefix,
            "GOALSTREAM_KAFKA_GROUP_ID": self.group,
            "GOALSTREAM_METRICS_PORT": "0",
            "GOALSTREAM_LOG_LEVEL": "warning",
        }

    async def create_topics(self) -> None:
        await create_topics(
            Kafka(bootstrap_servers=self.kafka), prefix=self.prefix, partitions=PARTITIONS, replication_factor=0
        )

    async def create_goals(self) -> None:
        """Migrates and writes 1,000 goals, in force for 30 days. Exits where the database holds goals already."""
        await migrate(self.database_url)
        for account_id in self._accounts:
            for number in range(GOALS_PER_ACCOUNT):
                goal = BenchmarkGoal(
                    account_id=account_id,
                    workflow_id=self._uuid(),
                    goal_id=self._uuid(),
                    topic=EVENT_TOPICS[number % len(EVENT_TOPICS)],
                    value=f"wanted-{number}",
                )
                self.goals.append(goal)
        database = Database(self.database_url, size=2, sees_all_accounts=True)
        try:
            await self._insert_goals(database)
        finally:
            await database.close()

    def plan_hits(self, count: int) -> None:
        """Decides which contacts will achieve which goal; each has one enrollment."""
        self.hits = [
            Hit(
                goal=self._random.choice(self.goals),
                contact_id=self._uuid(),
                enrollment_id=self._uuid(),
                event_id=self._uuid(),
            )
            for _ in range(count)
        ]

    def event(self, hit: Hit | None) -> Record:
        """An event that occurs now; without a hit, one that no goal asks for."""
        if hit is None:
            topic, event_id, contact_id = self._random.choice(EVENT_TOPICS), self._uuid(), self._uuid()
            account_id, wanted = self._random.choice(self._accounts), f"other-{self._random.randrange(1_000)}"
        else:
            topic, event_id, contact_id = hit.goal.topic, hit.event_id, hit.contact_id
            account_id, wanted = hit.goal.account_id, hit.goal.value
        data = f'{{"contact_id":"{contact_id}","{KINDS[topic][1]}":"{wanted}"{MORE_DATA.get(topic, "")},"note":"'
        value = _envelope(topic, event_id, account_id, data)
        filled = f'{value}{"." * (EVENT_BYTES - len(value) - 3)}"}}}}'
        return Record(topic, contact_id, filled, event_id)

    def events(self, count: int) -> Iterator[Record]:
        """`count` events, with the hits at random places among them."""
        places = dict(zip(self._random.sample(range(count), len(self.hits)), self.hits, strict=True))
        return (self.event(places.get(number)) for number in range(count))

    def enrollments(self) -> Iterator[Record]:
        """For every hit, that its contact entered the workflow an hour ago."""
        entered_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        for hit in self.hits:
            data = (
                f'{{"enrollment_id":"{hit.enrollment_id}","workflow_id":"{hit.goal.workflow_id}",'
                f'"contact_id":"{hit.contact_id}","entered_at":"{entered_at}"}}}}'
            )
            event_id = self._uuid()
            value = _envelope(ENROLLMENT_STARTED, event_id, hit.goal.account_id, data)
            yield Record(ENROLLMENT_STARTED, hit.contact_id, value, event_id)

    async def send(self, records: Iterator[Record], count: int, what: str) -> None:
        """Produces records and waits until the brokers have them all. Exits if one is refused."""
        await asyncio.to_thread(self._send, records, count, what)

    def _send(self, records: Iterator[Record], count: int, what: str) -> None:
        sender = Sender(self.kafka, self.prefix, linger_ms=20)
        with Progress(console=console, transient=True) as progress:
            task = progress.add_task(what, total=count)
            for number, record in enumerate(records, start=1):
                sender.send(record)
                if number % PORTION == 0:
                    progress.update(task, completed=number)
        sender.flush()

    def _uuid(self) -> str:
        digits = f"{self._random.getrandbits(128):032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    async def _insert_goals(self, database: Database) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=30)
        rows = [
            (goal.account_id, goal.goal_id, goal.workflow_id, KINDS[goal.topic][0], goal.criteria, long_ago)
            for goal in self.goals
        ]
        async with database.transaction() as connection:
            if await connection.fetchval("select exists (select from goal_versions)"):
                raise SystemExit("the database has goals in it: a benchmark needs an empty one")
            await connection.executemany(
                """insert into goal_versions (account_id, goal_id, version, workflow_id, goal_type, criteria, is_active,
                                              is_deleted, measure_after_exit_seconds, effective_from, goal_created_at,
                                              written_at, written_by)
                   values ($1, $2, 1, $3, $4, $5, true, false, 0, $6, $6, $6, 'benchmark')""",
                rows,
            )


class Sender:
    """Hands records to librdkafka, which sends them in the background; keyed as Kafka's own clients do it."""

    def __init__(self, kafka: str, prefix: str, *, linger_ms: int) -> None:
        self._prefix = prefix
        self._refused: KafkaError | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "linger.ms": linger_ms,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 200_000,
                "socket.nagle.disable": True,
                "log_level": 3,  # a broker that has just started makes it warn and try again
            }
        )

    def send(self, record: Record) -> None:
        """Returns at once, except while too many are on their way."""
        while True:
            try:
                self._producer.produce(
                    self._prefix + record.topic, record.value, record.key, on_delivery=self._delivered
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self, seconds: float = 120) -> None:
        """Returns when all are acknowledged; exits if one is refused or if it takes longer."""
        deadline = time.monotonic() + seconds
        while self._producer.flush(1):
            if time.monotonic() > deadline:
                raise SystemExit(f"Kafka did not acknowledge everything within {seconds:.0f} s")
        if self._refused is not None:
            raise SystemExit(f"Kafka refused a record: {self._refused}")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._refused = self._refused or error


def _envelope(topic: str, event_id: str, account_id: str, data: str) -> str:
    """A plain envelope up to and including `data`, whose braces the caller closes."""
    return (
        f'{{"event_id":"{event_id}","event_type":"{topic}","account_id":"{account_id}",'
        f'"timestamp":"{datetime.now(UTC).isoformat()}","data":{data}'
    )
