"""A stage: a fresh database, fresh topics and a consumer group on shared services, and the workers that play on it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from confluent_kafka import KafkaException

from goalstream.errors import Unavailable
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import READ_TOPICS, create_topics
from tests.faults import evidence
from tests.faults.breakable import Breakable
from tests.faults.evidence import ACHIEVED, DEAD_LETTER, EXIT, REVOKED, Evidence
from tests.faults.expectation import Expected, expectation
from tests.faults.judge import Findings, judge
from tests.faults.topics import Topics
from tests.faults.workers import WorkerProcess
from tests.oracle.generator import LATENESS
from tests.oracle.history import GoalVersion, Record
from tests.services.broker import free_ports

PARTITIONS = 4
CONSUMING_SECONDS = 60
POLL_SECONDS = 0.2

AnyWorker = TypeVar("AnyWorker", bound=WorkerProcess)

Show = Callable[[str, float, float], None]
"""Tells how far a step is: what, done, of how many."""


class NotQuiet(Exception):
    """The workers were not through in time, or one has ended; says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where rows run: the shared services, others to break, a folder for what is worth keeping, how progress is shown."""

    kafka: str
    postgres: str
    breakable: Breakable
    folder: Path
    show: Show


class Stage:
    """What one run of a fault needs. Made by `stage`."""

    def __init__(self, ground: Ground, name: str, database_url: str, settings: dict[str, str]) -> None:
        self.name = name
        self.database_url = database_url
        self.database = Database(database_url, size=4, sees_all_accounts=True)
        self.prefix = f"fault-{secrets.token_hex(4)}."
        self.topics = Topics(ground.kafka, prefix=self.prefix, group=f"{self.prefix}workers", partitions=PARTITIONS)
        self.workers: list[WorkerProcess] = []
        self._ground = ground
        self._settings = settings
        self._began = time.monotonic()

    def environment(self) -> dict[str, str]:
        """The settings of its workers."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self._ground.kafka,
            "KAFKA_GROUP_ID": self.topics.group,
            "KAFKA_TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "METRICS_PORT": "0",
            "LOG_LEVEL": "warning",
            # Histories may be made of bad records, and reach back as far as a match is kept.
            "DEAD_LETTER_MAX_IN_A_ROW": "0",
            "DEAD_LETTER_MAX_SHARE": "0",
            "HOUSEKEEPING_SECONDS": "86400",
        }
        return {f"GOALSTREAM_{name}": value for name, value in (settings | self._settings).items()}

    def note(self, event: str, **said: object) -> None:
        """Writes into the timeline, which is kept when the row fails."""
        at = {"seconds": round(time.monotonic() - self._began, 3), "at": datetime.now(UTC).isoformat()}
        self._ground.folder.mkdir(exist_ok=True)  # a long run may outlive a cleaner of temporary files
        with (self._ground.folder / "timeline.jsonl").open("a") as timeline:
            timeline.write(json.dumps({**at, "stage": self.name, "event": event, **said}, default=str) + "\n")

    def show(self, step: str, done: float, total: float) -> None:
        """Shows progress."""
        self._ground.show(f"{self.name}: {step}", done, total)

    async def start_workers(self, count: int, *, probes: bool = False, **settings: str) -> None:
        """Starts workers, `settings` being theirs alone, and waits until all have partitions. Raises NotQuiet."""
        for _ in range(count):
            (port,) = free_ports(1) if probes else (0,)
            worker = self.new_worker(WorkerProcess, metrics_port=str(port), **settings)
            worker.start()
            self.note("worker started", worker=worker.name, pid=worker.pid)
        await self.until_consuming()

    def new_worker(self, kind: type[AnyWorker], **settings: str) -> AnyWorker:
        """One more worker, to be started, `settings` being its own."""
        name = f"{self.name}-worker-{len(self.workers) + 1}"
        environment = self.environment() | {f"GOALSTREAM_{key.upper()}": value for key, value in settings.items()}
        worker = kind(name, environment, self._ground.folder / f"{name}.log")
        self.workers.append(worker)
        return worker

    async def until_consuming(self, seconds: float = CONSUMING_SECONDS) -> None:
        """Waits until the living workers share all partitions. Raises NotQuiet."""
        deadline, alive = time.monotonic() + seconds, [one for one in self.workers if one.exit_code is None]
        wanted = len(READ_TOPICS) * PARTITIONS
        while True:
            shares = await asyncio.to_thread(self.topics.assigned)
            if len(shares) == len(alive) and all(shares) and sum(shares) == wanted:
                self.note("consuming", partitions=shares)
                return
            self._require_time(deadline, f"the group's members have {shares} partitions of {wanted}")
            self.show("workers start", sum(shares), wanted)
            await asyncio.sleep(POLL_SECONDS)

    async def stop_workers(self) -> Findings:
        """SIGTERM to all that live; each must end with exit code 0."""
        found = Findings()
        for worker in self.workers:
            if worker.ended_by_itself:
                found.limits_missed.append(f"{worker.name} ended by itself with exit code {worker.exit_code}")
            elif worker.exit_code is None:
                code = await asyncio.to_thread(worker.stop)
                self.note("worker stopped", worker=worker.name, exit_code=code)
                if code:
                    found.limits_missed.append(f"{worker.name} ended with exit code {code}")
        return found

    async def tell(self, deliveries: Sequence[tuple[Record, int]], step: str = "telling") -> None:
        """Produces records on the partitions given; returns when the brokers have them all."""
        for first in range(0, len(deliveries), 1_000):
            self.show(step, first, len(deliveries))
            for record, partition in deliveries[first : first + 1_000]:
                self.topics.send(record, partition)
            await asyncio.sleep(0)
        await asyncio.to_thread(self.topics.flush)
        self.note("told", records=len(deliveries))

    async def quiesce(self, seconds: float) -> None:
        """Waits until everything is acknowledged and the outbox is empty. Raises NotQuiet with what is missing."""
        deadline, most = time.monotonic() + seconds, 0
        while True:
            try:
                lags = await asyncio.to_thread(self.topics.lags)
                left = await self._left_in_outbox()
            except (KafkaException, Unavailable) as error:
                missing = f"no answer: {error}"
            else:
                if not lags and not left:
                    self.note("quiet")
                    return
                most = max(most, sum(lags.values()))
                self.show("deciding", most - sum(lags.values()), most)
                missing = f"not acknowledged: {lags or 'nothing'}; in the outbox: {left}"
            self._require_time(deadline, missing)
            await asyncio.sleep(POLL_SECONDS)

    def _require_time(self, deadline: float, missing: str) -> None:
        dead = [f"{worker.name} (exit code {worker.exit_code})" for worker in self.workers if worker.ended_by_itself]
        if dead or time.monotonic() > deadline:
            self.note("not quiet", missing=missing, dead=dead)
            raise NotQuiet(f"{missing}; workers that ended by themselves: {', '.join(dead) or 'none'}")

    async def _left_in_outbox(self) -> int:
        async with self.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from outbox"))

    async def evidence(self) -> Evidence:
        """Everything that is there."""
        found = await evidence.tables(self.database)
        published = await asyncio.to_thread(self.topics.read, [ACHIEVED, REVOKED, EXIT])
        found.messages = evidence.messages(published)
        found.dead_letters = await asyncio.to_thread(self.topics.read, [DEAD_LETTER])
        found.topic_prefix = self.prefix
        found.lags = await asyncio.to_thread(self.topics.lags)
        return found

    async def expected(self, versions: Iterable[GoalVersion] | None = None) -> Expected:
        """What the oracle says of everything that the topics hold, by default with the goal versions in the database."""
        self.show("the oracle thinks", 0, 0)
        told = await asyncio.to_thread(self.topics.read, READ_TOPICS)
        known = await evidence.goal_versions(self.database) if versions is None else versions
        return await asyncio.to_thread(expectation, known, told, LATENESS)

    async def judge(self, versions: Iterable[GoalVersion] | None = None) -> Findings:
        """The verdict; the workers must be through."""
        expected = await self.expected(versions)
        seen = await self.evidence()
        found = judge(expected, seen)
        self.note(
            "judged",
            achievements=len(expected.achievements),
            satisfied=len(expected.satisfied),
            rows=len(seen.rows),
            messages=len(seen.messages),
            dead_letters=len(seen.dead_letters),
            findings=found.sentences(),
        )
        return found

    async def close(self) -> None:
        """Ends the workers, whatever they do."""
        for worker in self.workers:
            worker.close()
        await self.database.close()


@asynccontextmanager
async def stage(
    ground: Ground,
    name: str,
    *,
    topics: bool = True,
    migrate: Callable[[str], Awaitable[object]] = migrate,
    **settings: str,
) -> AsyncIterator[Stage]:
    """A stage that is gone after the block; `settings` of its workers are named as in the environment, in lower case."""
    database = f"fault_{secrets.token_hex(6)}"
    await _execute(ground.postgres, f"create database {database}")
    parts = urlsplit(ground.postgres)
    url = urlunsplit((parts.scheme, parts.netloc, f"/{database}", parts.query, ""))
    try:
        await migrate(url)
        made = Stage(ground, name, url, {name.upper(): value for name, value in settings.items()})
        try:
            if topics:
                await create_topics(
                    Kafka(bootstrap_servers=ground.kafka),
                    prefix=made.prefix,
                    partitions=PARTITIONS,
                    replication_factor=1,
                )
            yield made
        finally:
            await made.close()
            if topics:
                await asyncio.to_thread(made.topics.delete)
    finally:
        await _drop(ground.postgres, database)


async def deadlocks(database_url: str) -> int:
    """How many deadlocks PostgreSQL has ended in this database; those of connections that are still open come later."""
    connection = await asyncpg.connect(database_url)
    try:
        query = "select deadlocks from pg_stat_database where datname = current_database()"
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _drop(url: str, name: str) -> None:
    """Forced, whoever is still connected; unless autovacuum is, which only a plain drop may send away (PostgreSQL 15)."""
    for attempt in range(5):
        try:
            await _execute(url, f"drop database {name} {'with (force)' if attempt % 2 == 0 else ''}")
        except (asyncpg.InsufficientPrivilegeError, asyncpg.ObjectInUseError):
            await asyncio.sleep(0.2)
        else:
            return
