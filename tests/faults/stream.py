"""A stream of facts that goes on while faults happen, and what most rows do: tell, hurt, wait until quiet, judge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

from confluent_kafka import KafkaException

from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.stage import PARTITIONS, NotQuiet, Stage
from tests.faults.topics import Partition
from tests.integration.builders import put_goal_versions
from tests.oracle.history import History, Record

PORTION_SECONDS = 0.1
POLL_SECONDS = 0.1


class Stream:
    """Histories that are told in portions, evenly over a time."""

    def __init__(self, stage: Stage, told: History, deliveries: Sequence[tuple[Record, int]]) -> None:
        self.told = told
        self._stage = stage
        self.deliveries = deliveries

    async def tell(self, seconds: float) -> None:
        """Tells everything within about so many seconds."""
        began, sent = time.monotonic(), 0
        while sent < len(self.deliveries):
            share = min((time.monotonic() - began) / seconds, 1.0)
            due = max(int(share * len(self.deliveries)), sent + 1)
            for record, partition in self.deliveries[sent:due]:
                self._stage.topics.send(record, partition)
            sent = due
            self._stage.show("telling", sent, len(self.deliveries))
            await asyncio.sleep(PORTION_SECONDS)
        await asyncio.to_thread(self._stage.topics.flush)
        self._stage.note("told", records=len(self.deliveries))


async def prepare(stage: Stage, facts: int, seed: int) -> Stream:
    """Goals in the database, and facts about them that are ready to be told, in an order and on partitions of their own."""
    chance = Random(seed)
    told = histories(seed, facts, now=datetime.now(UTC))
    await put_goal_versions(stage.database, told.goal_versions)
    records = chance.sample(told.records, len(told.records))
    return Stream(stage, told, [(record, chance.randrange(PARTITIONS)) for record in records])


async def recovered(stage: Stage, since: float, within_seconds: float) -> float:
    """Seconds from a moment until everything is acknowledged that was in Kafka when this was called. Raises NotQuiet.

    A group does not notice a dead member before its session is over, so its own state says nothing.
    """
    deadline = time.monotonic() + within_seconds
    ends: Mapping[Partition, int] = {}
    while True:
        try:
            ends = ends or await asyncio.to_thread(stage.topics.ends)
            committed = await asyncio.to_thread(stage.topics.committed)
            behind = {partition: end for partition, end in ends.items() if committed.get(partition, 0) < end}
        except KafkaException as error:
            behind = {("no answer", 0): error.args[0].code()}
        if not behind:
            seconds = time.monotonic() - since
            stage.note("recovered", seconds=round(seconds, 2))
            return seconds
        if time.monotonic() > deadline:
            raise NotQuiet(f"not acknowledged within {within_seconds} s: {behind}")
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def telling(stream: Stream, seconds: float) -> AsyncIterator[None]:
    """Tells the stream while the block hurts; the block ends when both are through."""
    task = asyncio.create_task(stream.tell(seconds))
    try:
        yield
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
