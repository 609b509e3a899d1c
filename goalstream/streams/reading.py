"""Reading a stretch of Kafka's log without a group: nobody's offsets move, and the end is known before the first record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from goalstream.errors import OperatorError
from goalstream.streams import consumers
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import LARGE_MAX_BYTES

REQUEST_TIMEOUT_MS = 8_000
STUCK_SECONDS = 20
"""Without a single record for so long, reading is given up."""

SHORT_STRETCH = 100
"""So short ones are looked into: what a transaction leaves in the log is no record, and never acknowledged."""

PORTION = 500
"""Records that are taken one after the other; then whoever else waits has a turn."""

Stretches = Mapping[TopicPartition, tuple[int, int]]
"""From which offset (inclusive) to which (exclusive), by partition."""


def length(stretches: Stretches) -> int:
    """Offsets in all of them: so many records, or fewer."""
    return sum(end - begin for begin, end in stretches.values())


@asynccontextmanager
async def reader(kafka: Kafka) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group. Raises BrokerUnavailable, also for what Kafka says inside the block."""
    consumer = AIOKafkaConsumer(
        **kafka.options,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_partition_fetch_bytes=LARGE_MAX_BYTES,
    )
    try:
        async with consumers.running(consumer):
            yield consumer
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unavailable(error) from error


@asynccontextmanager
async def admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises BrokerUnavailable, also for what Kafka says inside the block."""
    client = AIOKafkaAdminClient(**kafka.options, request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        yield client
    except (KafkaError, OSError, TimeoutError) as error:
        raise await kafka.unavailable(error) from error
    finally:
        await client.close()


async def partitions_of(client: AIOKafkaAdminClient, topics: Iterable[str]) -> list[TopicPartition]:
    """The partitions of those topics that exist. Never asks about one that does not: a broker may make it then."""
    existing = set(await client.list_topics()) & set(topics)
    if not existing:
        return []
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in await client.describe_topics(sorted(existing))
        for partition in topic["partitions"]
    ]


async def whole_topic(kafka: Kafka, topic: str) -> Stretches:
    """All that a topic holds at this moment. Raises BrokerUnavailable, or OperatorError where it does not exist."""
    async with admin(kafka) as client:
        partitions = await partitions_of(client, [topic])
    if not partitions:
        raise OperatorError(f"topic {topic} does not exist: run `goalstream topics`")
    async with reader(kafka) as consumer:
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return {partition: (begins[partition], ends[partition]) for partition in partitions}


def newest(stretches: Stretches, count: int) -> Stretches:
    """The ends of stretches, of `count` records together, or fewer where there are no more; each partition has its share."""
    found: dict[TopicPartition, tuple[int, int]] = {}
    shortest_first = sorted(stretches.items(), key=lambda item: item[1][1] - item[1][0])
    for number, (partition, (begin, end)) in enumerate(shortest_first):
        share = min(end - begin, count // (len(shortest_first) - number))
        found[partition] = (end - share, end)
        count -= share
    return found


async def acknowledged(
    client: AIOKafkaAdminClient, group_id: str, partitions: list[TopicPartition]
) -> dict[TopicPartition, int]:
    """A group's offsets; -1 where it has none. (The embedded broker tells nothing when all partitions are asked for.)"""
    try:
        found = await client.list_consumer_group_offsets(group_id, partitions=partitions)
    except GroupCoordinatorNotAvailableError:  # nobody has ever been in a group of this cluster
        return dict.fromkeys(partitions, -1)
    return {partition: found[partition].offset if partition in found else -1 for partition in partitions}


async def behind(consumer: AIOKafkaConsumer, acknowledged: Mapping[TopicPartition, int]) -> Stretches:
    """What is not acknowledged, and still there, by partition. Raises what the driver raises."""
    partitions = list(acknowledged)
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    stretches = {
        partition: (max(offset, begins[partition]), ends[partition]) for partition, offset in acknowledged.items()
    }
    return {partition: (begin, end) for partition, (begin, end) in stretches.items() if begin < end}


async def that_hold_records(kafka: Kafka, stretches: Stretches) -> Stretches:
    """The stretches without those short ones that hold no record. Raises BrokerUnavailable."""
    short = {partition: (begin, end) for partition, (begin, end) in stretches.items() if end - begin <= SHORT_STRETCH}
    with_records: set[TopicPartition] = set()
    await read(kafka, short, lambda record: with_records.add(TopicPartition(record.topic, record.partition)))
    return {
        partition: stretch
        for partition, stretch in stretches.items()
        if partition not in short or partition in with_records
    }


async def read(kafka: Kafka, stretches: Stretches, take: Callable[[Any], None]) -> None:
    """Hands every record of the stretches to `take`, each partition in order. Raises BrokerUnavailable."""
    open_ends = {partition: end for partition, (begin, end) in stretches.items() if begin < end}
    if not open_ends:
        return
    async with reader(kafka) as consumer:
        consumer.assign(list(open_ends))
        for partition in open_ends:
            consumer.seek(partition, stretches[partition][0])
        while open_ends:
            async with asyncio.timeout(STUCK_SECONDS):
                fetched: Mapping[TopicPartition, list[Any]] = {}
                while not fetched and not await _are_passed(consumer, open_ends):
                    fetched = await consumer.getmany(timeout_ms=500, max_records=PORTION)
            for partition, records in fetched.items():
                for record in records:
                    if record.offset < stretches[partition][1]:
                        take(record)
            for partition, end in list(open_ends.items()):
                if await consumer.position(partition) >= end:
                    del open_ends[partition]
                    consumer.pause(partition)
            await asyncio.sleep(0)


async def _are_passed(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    """Also where nothing comes any more: what was read of may have been deleted meanwhile, or holds only the broker's own."""
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])
