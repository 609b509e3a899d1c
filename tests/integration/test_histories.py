"""Whole histories through two workers' processors and a real PostgreSQL: in any order, repeated, in any batches, at once.

`GOALSTREAM_TEST_EXAMPLES` says how many histories are told (80).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import mean, median
from typing import Any

import pytest

from goalstream.observability.health import Health
from goalstream.storage.cohorts import Cohort
from goalstream.storage.ledger import Ledger
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.storage.stats import statistics
from goalstream.streams.dead_letters import DeadLetters
from goalstream.streams.failure import RetryInPlace
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.processor import Processor
from goalstream.streams.publisher import Publisher
from goalstream.worker import GoalSource
from tests.contract.strict import check_published
from tests.integration.builders import World, put_goal_versions
from tests.oracle import generator, oracle
from tests.oracle.history import Headers, History, Record
from tests.unit.streams.fakes import FakeProducer

EXAMPLES = int(os.environ.get("GOALSTREAM_TEST_EXAMPLES", "80"))
IN_ONE_TEST = 10
SIZES = (10, 25, 60)
LATENESS = generator.LATENESS
ACHIEVED, REVOKED, EXIT = "workflow.goal.achieved", "workflow.goal.revoked", "workflow.exit.goal"
DEAD_LETTER = "goalstream.dead-letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A history's record as one worker gets it."""

    topic: str
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    offset: int
    partition: int


class Worker:
    """What a worker process holds between Kafka and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self.producer = FakeProducer()
        self.publisher = Publisher(self.producer, Outbox(database), topic_prefix="")
        letters = DeadLetters(self.producer, topic_prefix="", max_in_a_row=0, max_share=0)
        self.processor = Processor(
            ledger=Ledger(database, allowed_lateness=LATENESS),
            goals=GoalCache(GoalSource(database), activation_delay=timedelta(0)),
            publisher=self.publisher,
            dead_letters=letters,
            retry=RetryInPlace(Health()),
            allowed_lateness=LATENESS,
        )


async def tell(workers: Sequence[Worker], records: Sequence[Record], chance: Random) -> None:
    """Every record one to three times, in any order; each worker gets its share in batches, at the same time."""
    shares: list[list[Record]] = [[] for _ in workers]
    for record in chance.sample([*records] * 3, chance.randint(2 * len(records), 3 * len(records))):
        chance.choice(shares).append(record)
    for missing in set(map(id, records)) - {id(record) for share in shares for record in share}:
        shares[0].append(next(record for record in records if id(record) == missing))

    async def work(worker: Worker, share: list[Record], seed: int) -> None:
        own = Random(seed)
        while share:
            taken = [share.pop() for _ in range(min(len(share), own.choice([1, 2, 5, 20])))]
            by_topic: dict[str, list[Delivered]] = defaultdict(list)
            for record in taken:
                by_topic[record.topic].append(delivered(record, own))
            for topic, several in by_topic.items():
                await worker.processor.process(topic, _by_partition(several))

    await asyncio.gather(
        *(work(worker, share, n) for n, (worker, share) in enumerate(zip(workers, shares, strict=True)))
    )
    for worker in workers:
        publishing = asyncio.create_task(worker.publisher.publish_waiting())
        await worker.publisher.drain()
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)


def delivered(record: Record, chance: Random) -> Delivered:
    return Delivered(
        topic=record.topic,
        timestamp=record.timestamp,
        key=record.key,
        value=record.value,
        headers=record.headers,
        offset=chance.randrange(1_000_000),
        partition=chance.randrange(4),
    )


def _by_partition(records: Iterable[Delivered]) -> dict[tuple[str, int], list[Delivered]]:
    grouped: dict[tuple[str, int], list[Delivered]] = defaultdict(list)
    for record in records:
        grouped[record.topic, record.partition].append(record)
    return grouped


def messages(workers: Iterable[Worker], topic: str) -> list[tuple[str, dict[str, Any], bytes]]:
    """`ce_id`, document and bytes of everything published on a topic."""
    found = []
    for worker in workers:
        for sent_to, _, value, headers in worker.producer.sent:
            if sent_to == topic and value is not None:
                message_id = (dict(headers)["ce_id"] or b"").decode()
                found.append((message_id, json.loads(value), value))
    return found


async def check(world: World, workers: Sequence[Worker], told: History) -> None:
    """The state and everything published say what the oracle says."""
    expected = oracle.valid_achievements(told, LATENESS)
    rows = await world.rows(
        """select account_id::text, enrollment_id::text, goal_id::text, event_id, source, achieved_at, goal_version,
                  contact_id::text, match_contact_id::text from achievements where revoked_at is null"""
    )
    assert {
        (row["account_id"], row["enrollment_id"], row["goal_id"]): oracle.Achieved(
            event_id=row["event_id"],
            source=row["source"],
            occurred_at=row["achieved_at"],
            goal_version=row["goal_version"],
            contact_id=row["contact_id"],
            match_contact_id=row["match_contact_id"],
        )
        for row in rows
    } == expected
    assert await world.rows("select * from outbox") == []

    newest: dict[tuple[str, str, str], tuple[int, bool]] = {}
    for topic in (ACHIEVED, REVOKED):
        for _, body, _ in messages(workers, topic):
            key = (body["account_id"], body["workflow_enrollment_id"], body["goal_config_id"])
            newest[key] = max(newest.get(key, (0, False)), (body["revision"], topic == ACHIEVED))
    assert {key for key, (_, holds) in newest.items() if holds} == expected.keys()

    exits = Counter((body["account_id"], body["workflow_enrollment_id"]) for _, body, _ in messages(workers, EXIT))
    assert all(count == 1 for count in exits.values())
    assert oracle.exits(told, LATENESS) <= exits.keys()

    for worker in workers:
        for topic, _, value, headers in worker.producer.sent:
            if topic != DEAD_LETTER:
                check_published(topic, value or b"", {name: (text or b"").decode() for name, text in headers})

    await check_statistics(world, told, expected)
    bad = {
        (record.topic, record.key, record.value, record.headers, reason)
        for record, reason in ((told.records[index], reason) for index, reason in oracle.dead_letters(told))
    }
    assert {letter(*record) for worker in workers for record in worker.producer.sent if record[0] == DEAD_LETTER} == bad


async def check_statistics(
    world: World, told: History, achieved: Mapping[tuple[str, str, str], oracle.Achieved]
) -> None:
    """Of every workflow that anybody entered: numbers, rates and times to goal."""
    enrolled, satisfied = oracle.enrolled(told), oracle.satisfied(told, LATENESS)
    versions = {(version.account_id, version.goal_id): version for version in told.goal_versions}
    for account_id, workflow_id in {(account, workflow) for (account, _), (workflow, _) in enrolled.items()}:
        cohort = {
            enrollment: entered_at
            for enrollment, (workflow, entered_at) in enrolled.items()
            if (enrollment[0], workflow) == (account_id, workflow_id)
        }
        found = await statistics(
            world.database, account_id, Cohort(workflow_id=workflow_id), granularity=None, tz="UTC"
        )
        times = sorted(
            (satisfied[enrollment].occurred_at - entered_at) / timedelta(hours=1)
            for enrollment, entered_at in cohort.items()
            if enrollment in satisfied
        )
        assert (found["total_enrolled"], found["goals_achieved"]) == (len(cohort), len(times))
        assert found["conversion_rate"] == pytest.approx(100 * len(times) / len(cohort), abs=0.0501)
        for name, hours in (("avg", mean), ("median", median), ("fastest", min), ("slowest", max)):
            shown = found[f"{name}_time_to_goal_hours"]
            assert shown == (pytest.approx(hours(times), abs=0.0501) if times else None)
        goals = {
            (enrollment_id, goal_id)
            for account, enrollment_id, goal_id in achieved
            if (account, enrollment_id) in cohort and versions[account, goal_id].workflow_id == workflow_id
        }
        by_goal = Counter(goal_id for _, goal_id in goals)
        of_types = {(enrollment, versions[account_id, goal].goal_type) for enrollment, goal in goals}
        by_type = Counter(goal_type for _, goal_type in of_types)
        assert {goal: one["achieved"] for goal, one in found["by_goal"].items() if one["achieved"]} == by_goal
        assert {name: one["achieved"] for name, one in found["by_goal_type"].items() if one["achieved"]} == by_type


def letter(_: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> object:
    """Where a dead letter came from, what it was, and its reason: what we add stands at the end of the headers."""
    ours = {name: (text or b"").decode() for name, text in headers if name.startswith("goalstream_")}
    theirs = tuple(header for header in headers if not header[0].startswith("goalstream_"))
    return ours["goalstream_topic"], key, value, theirs, ours["goalstream_reason"]


@pytest.fixture
async def worlds(database_url: str) -> Any:
    databases = [Database(database_url, size=4, sees_all_accounts=True) for _ in range(2)]
    yield databases
    for database in databases:
        await database.close()


@pytest.mark.parametrize("first", range(0, EXAMPLES, IN_ONE_TEST))
async def test_whatever_the_order_the_repetition_and_the_batches_the_state_is_what_the_oracle_says(
    worlds: list[Database], first: int
) -> None:
    world = World(worlds[0])
    for seed in range(first, min(first + IN_ONE_TEST, EXAMPLES)):
        told = generator.history(seed, SIZES[seed % len(SIZES)], now=datetime.now(UTC), references=False)
        await world.forget()
        await world.rows("delete from goal_versions")
        await world.rows("delete from goals")
        await put_goal_versions(worlds[0], told.goal_versions)
        workers = [Worker(database) for database in worlds]
        await tell(workers, told.records, Random(seed))
        try:
            await check(world, workers, told)
        except AssertionError as error:
            error.add_note(f"history {seed}")
            raise
        achievements = await world.rows("select * from achievements order by account_id, enrollment_id, goal_id")
        audit = await world.rows("select entry_id from audit")
        again = [Worker(database) for database in worlds]
        await tell(again, told.records, Random(seed + 1))
        assert (
            await world.rows("select * from achievements order by account_id, enrollment_id, goal_id") == achievements
        )
        assert await world.rows("select entry_id from audit") == audit
        assert not [topic for worker in again for topic, *_ in worker.producer.sent if topic != DEAD_LETTER]
