"""F14: a row that PostgreSQL refuses for ever in a batch of 500; its record alone is set aside, and found quickly."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from tests.faults import acknowledged
from tests.faults.forked_workers import ForkedWorker
from tests.faults.judge import judge
from tests.faults.rows import Outcome, Row, Size
from tests.faults.set_aside import evidence_without_marks, expected_after, only_what_failed, redrive
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.stream import recovered
from tests.integration.builders import put_goal_versions
from tests.oracle.history import ENROLLMENT_STARTED, TAG_ADDED, Fact, GoalVersion, Record, milliseconds, on_the_wire

ROUNDS = {Size.CI: 5, Size.FULL: 200}
BATCH = 500
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 600}
GIVE_UP_SECONDS = 60
LOOK_EVERY = 20
MOST_ATTEMPTS = 12
"""Until the record is known; one more stores those that were left over."""

REASON = "refused_by_database"
REFUSED = "refused-"
"""Event ids that begin so are what PostgreSQL refuses."""

TABLES = {ENROLLMENT_STARTED: "enrollment_starts", TAG_ADDED: "matches"}

_REFUSE = """
alter table {table} add constraint refused check (event_id not like '{refused}%') not valid;
create trigger attempts before insert on {table} for each statement execute function count_attempt()
"""

_COUNT = """
create sequence attempts;
create function count_attempt() returns trigger language plpgsql as $$ begin perform nextval('attempts'); return null; end $$
"""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome = Outcome()
    attempts: list[int] = []
    async with stage(ground, "refused") as here:
        crowd = _Crowd(Random(seed), datetime.now(UTC))
        versions = [crowd.goal]
        await put_goal_versions(here.database, versions)
        await _refuse(here)
        worker = here.new_worker(ForkedWorker)
        worker.start()
        await here.until_consuming()
        for number in range(ROUNDS[size]):
            here.show("refusing", number, ROUNDS[size])
            attempts.append(await _tell_a_batch(here, worker, crowd, number))
            if number % LOOK_EVERY == 0:
                outcome.findings.add(await acknowledged.look(here, versions, excused=_is_refused))
        outcome.findings.add(await only_what_failed(here, _is_refused, REASON))
        await _accept(here)
        await asyncio.to_thread(redrive, here, REASON)
        await here.quiesce(QUIET_SECONDS[size])
        seen = await evidence_without_marks(here)
        outcome.findings.add(judge(await expected_after(here, versions, _is_refused, REASON), seen))
        outcome.findings.add(await here.stop_workers())
    if max(attempts) > MOST_ATTEMPTS + 1:
        outcome.findings.limits_missed.append(f"{max(attempts) - 1} transactions to isolate a record of {BATCH}")
    outcome.figures = {
        "batches": len(attempts),
        "most_attempts": max(attempts),
        "rows": len(seen.rows),
        "messages": len(seen.messages),
        "dead_letters": len(seen.dead_letters),
    }
    return outcome


async def _tell_a_batch(here: Stage, worker: ForkedWorker, crowd: _Crowd, number: int) -> int:
    """How often rows of the batch were sent to PostgreSQL. Whether starts or events come first changes from batch to batch."""
    starts, events = crowd.next()
    first, batch = (starts, events) if number % 2 else (events, starts)
    await here.tell([(record, at % PARTITIONS) for at, record in enumerate(first)])
    await recovered(here, time.monotonic(), GIVE_UP_SECONDS)
    batch[crowd.chance.randrange(BATCH)] = crowd.refused(batch[0], number)
    partition, before = crowd.chance.randrange(PARTITIONS), await _attempts(here)
    worker.pause()  # so that it finds all of them in one fetch
    try:
        await here.tell([(record, partition) for record in batch])
    finally:
        worker.resume()
    await recovered(here, time.monotonic(), GIVE_UP_SECONDS)
    attempts = await _attempts(here) - before
    here.note("isolated", topic=batch[0].topic, attempts=attempts)
    return attempts


async def _attempts(here: Stage) -> int:
    async with here.database.connection() as connection:
        return int(await connection.fetchval("select case when is_called then last_value else 0 end from attempts"))


async def _refuse(here: Stage) -> None:
    async with here.database.connection() as connection:
        await connection.execute(_COUNT)
        for table in TABLES.values():
            await connection.execute(_REFUSE.format(table=table, refused=REFUSED))


async def _accept(here: Stage) -> None:
    async with here.database.connection() as connection:
        for table in TABLES.values():
            await connection.execute(f"alter table {table} drop constraint refused")


def _is_refused(record: Record) -> bool:
    return f'"event_id":"{REFUSED}'.encode() in (record.value or b"")


@dataclass
class _Crowd:
    """Contacts who enter a workflow and reach its goal, as many at a time as a batch has records."""

    chance: Random
    now: datetime

    def __post_init__(self) -> None:
        self.account_id, self.workflow_id = self._id(), self._id()
        created_at = self.now - timedelta(days=10)
        self.goal = GoalVersion(
            account_id=self.account_id,
            workflow_id=self.workflow_id,
            goal_id=self._id(),
            version=1,
            goal_type="tag_added",
            criteria={"tag_id": "tag-1"},
            is_active=True,
            is_deleted=False,
            window=None,
            measure_after_exit=timedelta(0),
            effective_from=created_at,
            created_at=created_at,
        )

    def next(self) -> tuple[list[Record], list[Record]]:
        """Starts of enrollments, and events that achieve the goal in them."""
        contacts = [self._id() for _ in range(BATCH)]
        starts = [self._start(contact) for contact in contacts]
        return starts, [self._event(contact) for contact in contacts]

    def refused(self, like: Record, number: int) -> Record:
        """One more of the kind, of somebody else, that PostgreSQL will not take."""
        make = self._start if like.topic == ENROLLMENT_STARTED else self._event
        return make(self._id(), f"{REFUSED}{number}")

    def _start(self, contact_id: str, event_id: str | None = None) -> Record:
        data = {"enrollment_id": self._id(), "workflow_id": self.workflow_id, "contact_id": contact_id}
        return self._record(ENROLLMENT_STARTED, timedelta(hours=2), data, event_id)

    def _event(self, contact_id: str, event_id: str | None = None) -> Record:
        return self._record(TAG_ADDED, timedelta(hours=1), {"contact_id": contact_id, "tag_id": "tag-1"}, event_id)

    def _record(self, topic: str, age: timedelta, data: dict[str, str], event_id: str | None) -> Record:
        envelope = {
            "event_id": event_id or f"evt-{self.chance.getrandbits(64):x}",
            "event_type": topic,
            "account_id": self.account_id,
            "timestamp": (self.now - age).isoformat(),
            "data": data,
        }
        return on_the_wire(Fact(topic=topic, timestamp=milliseconds(self.now), envelope=envelope))

    def _id(self) -> str:
        return str(UUID(int=self.chance.getrandbits(128), version=4))


ROW = Row(fault="F14", title="a row that PostgreSQL refuses in a batch of 500", run=run)
