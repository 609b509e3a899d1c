"""One data set that every contender reads: the same events, goals and enrollments, and a smaller slice for slow ones."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.databases import fresh_database
from benchmarks.run import goalstream_counts, run_to_the_end
from benchmarks.services import Observer
from benchmarks.worker import running_worker
from benchmarks.workload import PARTITIONS, Hit, Record, Workload
from goalstream.storage.pool import Database
from goalstream.streams.topics import EVENT_TOPICS

SLICE = "slice."
"""Put before a topic's name: the first events once more."""

SCHEMA = Path(__file__).parent / "peers" / "schema.sql"


@dataclass(slots=True, kw_only=True)
class DataSet:
    """Topics that are full and databases in which nothing is achieved yet."""

    workload: Workload
    observer: Observer
    events: int
    slice_events: int
    peers_url: str
    database: Database
    """goalstream's."""

    enrolling_cpu_seconds: float = 0.0
    """Of a goalstream worker that read the enrollments, with its start-up."""

    in_slice: set[str] = field(default_factory=set)
    """Ids of the slice's events."""

    def topics(self, *, sliced: bool) -> list[str]:
        """The event topics, with their prefix."""
        return [self.workload.prefix + (SLICE if sliced else "") + topic for topic in EVENT_TOPICS]

    def size(self, *, sliced: bool) -> int:
        """How many events are on them."""
        return self.slice_events if sliced else self.events

    def hits(self, *, sliced: bool) -> list[Hit]:
        """What these events achieve."""
        return [hit for hit in self.workload.hits if not sliced or hit.event_id in self.in_slice]

    def copying(self, records: Iterator[Record]) -> Iterator[Record]:
        """All records, the first ones also for the slice's topics."""
        for number, record in enumerate(records):
            yield record
            if number < self.slice_events:
                self.in_slice.add(record.event_id)
                yield record._replace(topic=SLICE + record.topic)


@asynccontextmanager
async def data_set(
    kafka: str,
    server_url: str,
    *,
    events: int,
    match_share: float,
    slice_events: int,
    seed: int,
    give_up_seconds: float,
) -> AsyncIterator[DataSet]:
    """Fills topics and databases; all of it is gone after the block. The same seed gives the same goals and events."""
    async with fresh_database(server_url) as url, fresh_database(server_url) as peers_url:
        workload = Workload(kafka, url, seed=seed)
        database = Database(url, size=2, sees_all_accounts=True)
        await workload.create_goals()
        await workload.create_topics()
        await create_topics(kafka, [workload.prefix + SLICE + topic for topic in EVENT_TOPICS])
        workload.plan_hits(round(events * match_share))
        await _fill_peers_database(peers_url, workload)
        async with Observer(kafka, workload.prefix, workload.group) as observer:
            data = DataSet(
                workload=workload,
                observer=observer,
                events=events,
                slice_events=min(slice_events, events),
                peers_url=peers_url,
                database=database,
            )
            try:
                await _enroll(data, seed, give_up_seconds)
                sent = data.events + data.slice_events
                await workload.send(data.copying(workload.events(events)), sent, "producing")
                yield data
            finally:
                await database.close()


async def create_topics(kafka: str, names: list[str]) -> None:
    """As many partitions as the workload's own."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    finally:
        await admin.close()


async def _enroll(data: DataSet, seed: int, give_up_seconds: float) -> None:
    """Lets a goalstream worker read the enrollments, which peers find in their table: none of it is in the comparison."""
    workload = data.workload
    await workload.send(workload.enrollments(), len(workload.hits), "enrolling")
    if not workload.hits:
        return
    with running_worker(workload.environment()) as worker:
        run = await run_to_the_end(
            worker,
            data.observer,
            partial(goalstream_counts, data.database),
            rows=0,
            kills=0,
            seed=seed,
            give_up_seconds=give_up_seconds,
        )
        await worker.stop()
    data.enrolling_cpu_seconds = run.cpu_seconds
    async with data.database.connection() as connection:
        await connection.execute("analyze")  # as autovacuum would have done by now


async def _fill_peers_database(url: str, workload: Workload) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(SCHEMA.read_text())
        await connection.copy_records_to_table(
            "goals",
            columns=["account_id", "goal_id", "workflow_id", "event_type", "wanted"],
            records=[
                (goal.account_id, goal.goal_id, goal.workflow_id, goal.topic, goal.value) for goal in workload.goals
            ],
        )
        await connection.copy_records_to_table(
            "enrollments",
            columns=["account_id", "enrollment_id", "workflow_id", "contact_id"],
            records=[
                (hit.goal.account_id, hit.enrollment_id, hit.goal.workflow_id, hit.contact_id) for hit in workload.hits
            ],
        )
        await connection.execute("analyze")
    finally:
        await connection.close()
