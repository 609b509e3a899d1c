"""F18: eight writers tell the same facts about the same contacts in opposite orders, merges and deletions among them.

They are what a worker is behind its consumer: store, settle, publish and take out of the outbox, each with a pool of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import TypeVar

from goalstream.domain.facts import Fact
from goalstream.domain.messages import EncodedMessage
from goalstream.errors import Unavailable
from goalstream.observability.health import Health
from goalstream.storage.ledger import Ledger
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.streams.dead_letters import DeadLetters
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.processor import Processor
from goalstream.streams.publisher import Publisher
from goalstream.worker import GoalSource
from tests.faults import evidence
from tests.faults.evidence import Message
from tests.faults.expectation import Expected, expectation
from tests.faults.judge import judge
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, deadlocks, stage
from tests.faults.topics import Stored
from tests.integration.builders import put_goal_versions
from tests.oracle import generator
from tests.oracle.generator import LATENESS
from tests.oracle.history import Headers, History, Record
from tests.unit.streams.fakes import FakeLedger, FakeOutbox, FakeProducer

SECONDS = {Size.CI: 10, Size.FULL: 300}
WRITERS = 8
CONNECTIONS = 3
FACTS = (40, 90, 200)
BATCHES = (3, 10, 40, 200)
SEEDS_APART = 1_000_000

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivered:
    """A history's record as a processor takes it."""

    topic: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int
    partition: int = 0


class _Writer:
    """One worker's way to PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._ledger = Ledger(database, allowed_lateness=LATENESS)
        self._outbox = Outbox(database)
        self._retry = RetryInPlace(Health())
        self.waited_for: list[str] = []
        self.messages: list[EncodedMessage] = []

    async def tell(self, facts: Sequence[Fact], batch: int) -> None:
        """Stores and settles in batches; what is settled is published and taken out meanwhile."""
        async with asyncio.TaskGroup() as publishing:
            for first in range(0, len(facts), batch):
                portion = facts[first : first + batch]
                await self._patiently("store", lambda portion=portion: self._ledger.store(portion))
                settled = await self._patiently("settle", lambda portion=portion: self._ledger.settle(portion))
                self.messages += settled.messages
                if settled.messages:
                    publishing.create_task(self._take_out(settled.messages))

    async def _take_out(self, messages: Sequence[EncodedMessage]) -> None:
        await self._patiently("outbox", lambda: self._outbox.delete(messages))

    async def _patiently(self, step: str, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """As the worker does it; remembers what it had to wait for."""

        async def watched() -> _Result:
            try:
                return await action()
            except Unavailable as error:
                self.waited_for.append(f"{step}: {error}")
                raise

        return await self._retry(step, watched)


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    async with stage(ground, "opposite", topics=False) as here:
        told, writers = await _play(here, size, seed)
        here.show("the oracle thinks", 0, 0)
        expected = await asyncio.to_thread(_expected, told)
        seen = await evidence.tables(here.database)
        seen.messages = [
            Message(topic=one.topic, message_id=one.message_id, key=one.subject, body=one.body.encode())
            for writer in writers
            for one in writer.messages
        ]
        findings = judge(expected, seen)
        # What a connection counts reaches the statistics when it closes at the latest, and the writers' are closed.
        found = await deadlocks(here.database_url)
    waits = [wait for writer in writers for wait in writer.waited_for]
    for wait in waits:
        here.note("waited", error=wait)
    if found or any("Deadlock" in wait for wait in waits):
        findings.limits_missed.append(f"{found} deadlocks: {[wait for wait in waits if 'Deadlock' in wait][:3]}")
    return Outcome(
        findings=findings,
        figures={
            "histories": len(told),
            "facts": sum(len(one.records) for one in told),
            "rows": len(seen.rows),
            "messages": len(seen.messages),
            "deadlocks": found,
            "retries": len(waits),
        },
    )


async def _play(here: Stage, size: Size, seed: int) -> tuple[list[History], list[_Writer]]:
    """One history after the other, each told by all writers at once, until the time is over."""
    told: list[History] = []
    async with AsyncExitStack() as pools:
        writers = []
        for _ in range(WRITERS):
            database = Database(here.database_url, size=CONNECTIONS, sees_all_accounts=True)
            pools.push_async_callback(database.close)
            writers.append(_Writer(database))
        began = time.monotonic()
        for number in count(seed * SEEDS_APART):
            gone = time.monotonic() - began
            here.show("writing", gone, SECONDS[size])
            if gone > SECONDS[size]:
                break
            one = generator.history(number, FACTS[number % len(FACTS)], now=datetime.now(UTC), bad_records=False)
            await put_goal_versions(here.database, one.goal_versions)
            told.append(one)
            await _tell_at_once(writers, await _facts(here.database, one), Random(number))
    return told, writers


async def _tell_at_once(writers: Sequence[_Writer], facts: Sequence[Fact], chance: Random) -> None:
    """Every writer tells everything: each second one from the end, each fourth in an order of its own."""
    async with asyncio.TaskGroup() as writing:
        for number, writer in enumerate(writers):
            own = list(facts)
            if number % 2:
                own.reverse()
            if number % 4 == 3:
                chance.shuffle(own)
            writing.create_task(writer.tell(own, chance.choice(BATCHES)))


async def _facts(database: Database, told: History) -> list[Fact]:
    """What the product makes of a history's records."""
    ledger, producer = FakeLedger(), FakeProducer()
    processor = Processor(
        ledger=ledger,
        goals=GoalCache(GoalSource(database), activation_delay=timedelta(0)),
        publisher=Publisher(producer, FakeOutbox(), topic_prefix=""),
        dead_letters=DeadLetters(producer, topic_prefix="", max_in_a_row=0, max_share=0),
        retry=RetryInPlace(Health()),
        allowed_lateness=LATENESS,
    )
    by_topic: dict[str, list[_Delivered]] = defaultdict(list)
    for offset, record in enumerate(told.records):
        by_topic[record.topic].append(_delivered(record, offset))
    for topic, records in by_topic.items():
        await processor.process(topic, {(topic, 0): records})
    return ledger.stored


def _delivered(record: Record, offset: int) -> _Delivered:
    return _Delivered(
        topic=record.topic,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
        offset=offset,
    )


def _expected(told: Sequence[History]) -> Expected:
    versions = [version for one in told for version in one.goal_versions]
    stored = [
        Stored(origin=(record.topic, number, offset), record=record)
        for number, one in enumerate(told)
        for offset, record in enumerate(one.records)
    ]
    return expectation(versions, stored, LATENESS)


ROW = Row(fault="F18", title="8 writers tell the same facts in opposite orders", run=run)
