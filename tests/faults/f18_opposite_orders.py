"""F18: eight writers tell the same facts about the same contacts in opposite orders, merges and deletions among them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from goalstream.domain.facts import Fact
from goalstream.observability.health import Health
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
from tests.faults.writers import PROCESSES, Played, Round, process_of_writers
from tests.integration.builders import put_goal_versions
from tests.oracle import generator
from tests.oracle.generator import LATENESS
from tests.oracle.history import Headers, History
from tests.unit.streams.fakes import FakeLedger, FakeOutbox, FakeProducer

SECONDS = {Size.CI: 10, Size.FULL: 300}
FACTS = (60, 120, 200)
SEEDS_APART = 1_000_000


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


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    async with stage(ground, "opposite", topics=False) as here:
        told, played = await _play(here, SECONDS[size], seed)
        here.show("the oracle thinks", 0, 0)
        expected = await asyncio.to_thread(_expected, told)
        seen = await evidence.tables(here.database)
        seen.messages = [
            Message(topic=one.topic, message_id=one.message_id, key=one.subject, body=one.body.encode())
            for part in played
            for one in part.messages
        ]
        findings = judge(expected, seen)
        # What a connection counts reaches the statistics when it closes at the latest, and the writers' are closed.
        found = await deadlocks(here.database_url)
        waits = [wait for part in played for wait in part.waited_for]
        for wait in waits:
            here.note("waited", error=wait)
    if found or any("Deadlock" in wait for wait in waits):
        findings.limits_missed.append(f"{found} deadlocks: {waits[:3]}")
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


async def _play(here: Stage, seconds: float, seed: int) -> tuple[list[History], list[Played]]:
    """One history after the other, each told by all writers at once, until the time is over."""
    told: list[History] = []
    played: list[Played] = []
    with ExitStack() as processes:
        ends = [processes.enter_context(process_of_writers(here.database_url, number)) for number in range(PROCESSES)]
        await asyncio.gather(*(asyncio.to_thread(end.recv) for end in ends))
        here.note("writers are ready")
        began = time.monotonic()
        for number in count(seed * SEEDS_APART):
            gone = time.monotonic() - began
            here.show("writing", gone, seconds)
            if gone > seconds:
                break
            size = FACTS[number % len(FACTS)]
            told.append(generator.history(number, size, now=datetime.now(UTC), bad_records=False))
            await put_goal_versions(here.database, told[-1].goal_versions)
            facts = await _facts(here.database, told[-1])
            for end in ends:
                end.send(Round(facts=facts, seed=number))
            for answer in await asyncio.gather(*(asyncio.to_thread(end.recv) for end in ends)):
                assert answer is not None
                played.append(answer)
        for end in ends:
            end.send(None)
            await asyncio.to_thread(end.recv)
        here.note("written", histories=len(told))
    return told, played


async def _facts(database: Database, told: History) -> list[Fact]:
    """What the product makes of a history's records; the topics mixed, as workers mix what they settle together."""
    ledger, producer = FakeLedger(), FakeProducer()
    processor = Processor(
        ledger=ledger,
        goals=GoalCache(GoalSource(database), activation_delay=timedelta(0)),
        publisher=Publisher(producer, FakeOutbox(), topic_prefix=""),
        dead_letters=DeadLetters(producer, topic_prefix="", max_in_a_row=0, max_share=0),
        retry=RetryInPlace(Health()),
        allowed_lateness=LATENESS,
    )
    for offset, record in enumerate(told.records):
        delivered = _Delivered(
            topic=record.topic,
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=record.headers,
            offset=offset,
        )
        await processor.process(record.topic, {(record.topic, 0): [delivered]})
    return ledger.stored


def _expected(told: Sequence[History]) -> Expected:
    versions = [version for one in told for version in one.goal_versions]
    stored = [
        Stored(origin=(record.topic, number, offset), record=record)
        for number, one in enumerate(told)
        for offset, record in enumerate(one.records)
    ]
    return expectation(versions, stored, LATENESS)


ROW = Row(fault="F18", title="8 writers tell the same facts in opposite orders", run=run)
