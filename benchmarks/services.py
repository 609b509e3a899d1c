"""Where a benchmark runs: a real Kafka and a real PostgreSQL, given or of its own."""

from __future__ import annotations

import asyncio
import copy
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from goalstream.streams.topics import READ_TOPICS
from tests.services.tiers import Tier, kafka_tier, running_kafka, running_postgres

BROKER_SECONDS = 30
"""A broker that has just started looks for its coordinators first."""


@contextmanager
def services(kafka: str | None, database: str | None) -> Iterator[tuple[str, str]]:
    """The addresses of a Kafka and a PostgreSQL: those given, or some of our own for the length of the block."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="goalstream-benchmark-")))
        if kafka is None:
            if kafka_tier() is Tier.EMBEDDED:
                raise SystemExit("no real Kafka to measure on: give --kafka HOST:PORT, or install Java 17 and Maven")
            kafka = stack.enter_context(running_kafka(folder)).bootstrap_servers
        if database is None:
            database = stack.enter_context(running_postgres(folder))
        yield kafka, database


class Observer:
    """Looks at one run's topics and its worker's group from outside, over connections that stay open."""

    def __init__(self, kafka: str, prefix: str, group: str) -> None:
        self._group = group
        self._prefix = prefix
        self._read = {prefix + name for name in READ_TOPICS}
        self._kafka = kafka
        self._admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=kafka)

    async def __aenter__(self) -> Self:
        await self._admin.start()
        await self._consumer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Removes the run's topics, all that have its prefix: half a million events take 150 MB."""
        try:
            topics = await self._admin.list_topics()
            await self._admin.delete_topics([name for name in topics if name.startswith(self._prefix)])
        finally:
            await self._consumer.stop()
            await self._admin.close()

    def looking_at(self, group: str, topics: Iterable[str]) -> Self:
        """The same connections for another group, which reads these topics, named with their prefix; not to be entered."""
        other = copy.copy(self)
        other._group, other._read = group, set(topics)
        return other

    async def committed(self) -> dict[TopicPartition, int]:
        """Up to where the group has acknowledged the topics that a worker reads; partitions without a commit are out."""
        found = await _patiently(lambda: self._admin.list_consumer_group_offsets(self._group))
        return {each: at.offset for each, at in found.items() if each.topic in self._read and at.offset >= 0}

    async def log_ends(self) -> dict[TopicPartition, int]:
        """Where the partitions end that a worker reads, without the empty ones, which never get a commit."""
        topics = await self._admin.describe_topics(sorted(self._read))
        partitions = [
            TopicPartition(each["topic"], part["partition"]) for each in topics for part in each["partitions"]
        ]
        ends = await self._consumer.end_offsets(partitions)
        return {partition: end for partition, end in ends.items() if end}

    async def is_consuming(self, workers: int) -> bool:
        """Whether the group has settled on so many members, and they have their partitions."""
        (response,) = await _patiently(lambda: self._admin.describe_consumer_groups([self._group]))
        return all(state == "Stable" and len(members) == workers for _, _, state, _, _, members, *_ in response.groups)

    async def wait_until_consuming(self, seconds: float = 60, *, workers: int = 1) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while True:
                if await self.is_consuming(workers):
                    return
                await asyncio.sleep(0.05)

    async def read_all(self, topic: str) -> list[tuple[str, bytes]]:
        """`ce_id` (where there is none, a name of its own) and value of every record on a topic, prefix included."""
        async with self._reader(topic) as consumer:
            found: list[tuple[str, bytes]] = []
            ends = await consumer.end_offsets(consumer.assignment())
            for partition, end in ends.items():
                while await consumer.position(partition) < end:
                    for records in (await consumer.getmany(partition, timeout_ms=500)).values():
                        found += [(_ce_id(record.headers) or f"{partition}@{record.offset}", record.value)
                                  for record in records]  # fmt: skip
            return found

    @asynccontextmanager
    async def _reader(self, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka, auto_offset_reset="earliest", fetch_max_wait_ms=50, enable_auto_commit=False
        )
        await consumer.start()
        try:
            described = await self._admin.describe_topics([topic])
            consumer.assign([TopicPartition(topic, part["partition"]) for part in described[0]["partitions"]])
            yield consumer
        finally:
            await consumer.stop()


async def _patiently(question: Callable[[], Awaitable[Any]]) -> Any:
    """The answer; asks again while the broker says that it cannot give one yet, for 30 s at most."""
    deadline = time.monotonic() + BROKER_SECONDS
    while True:
        try:
            return await question()
        except KafkaError as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.05)


def _ce_id(headers: list[tuple[str, bytes]]) -> str | None:
    found = dict(headers).get("ce_id")
    return None if found is None else found.decode()
