"""How far the group is, on a real broker: only records count, and only those that are still there."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from goalstream.streams.connection import Kafka
from goalstream.streams.progress import Progress
from goalstream.streams.topics import EVENT_TOPICS

WAIT_SECONDS = 30
A_WHILE_SECONDS = 2.5


@pytest.fixture
def group() -> str:
    return f"group-{secrets.token_hex(4)}"


@pytest.fixture
def progress(kafka_servers: str, topic_prefix: str, group: str) -> Progress:
    return Progress(Kafka(bootstrap_servers=kafka_servers), group_id=group, topic_prefix=topic_prefix)


async def commit(servers: str, group: str, partition: TopicPartition, offset: int) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)
    async with consumer:
        consumer.assign([partition])
        await consumer.commit({partition: offset})


async def test_a_group_has_caught_up_when_everything_is_acknowledged_that_was_there(
    progress: Progress, kafka_servers: str, topic_prefix: str, group: str
) -> None:
    partition = TopicPartition(topic_prefix + EVENT_TOPICS[0], 1)
    async with asyncio.timeout(WAIT_SECONDS):
        await commit(kafka_servers, group, partition, 0)
        await progress.catch_up()
        async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
            for _ in range(3):
                await producer.send_and_wait(partition.topic, b"{}", partition=partition.partition)
        waiting = asyncio.create_task(progress.catch_up())
        await commit(kafka_servers, group, partition, 2)
        done, _ = await asyncio.wait({waiting}, timeout=A_WHILE_SECONDS)
        assert not done
        await commit(kafka_servers, group, partition, 3)
        await waiting


@pytest.mark.real_kafka
async def test_what_a_transaction_leaves_behind_and_what_was_deleted_is_not_waited_for(
    progress: Progress, kafka_servers: str, topic_prefix: str, group: str
) -> None:
    ended, deleted = (TopicPartition(topic_prefix + topic, 0) for topic in EVENT_TOPICS[:2])
    async with asyncio.timeout(WAIT_SECONDS):
        name = secrets.token_hex(4)
        producer = AIOKafkaProducer(bootstrap_servers=kafka_servers, transactional_id=name)
        async with producer, producer.transaction():
            await producer.send_and_wait(ended.topic, b"{}", partition=0)
        await commit(kafka_servers, group, ended, 1)
        async with AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
            await producer.send_and_wait(deleted.topic, b"{}", partition=0)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
        await admin.start()
        await admin.delete_records({deleted: RecordsToDelete(before_offset=1)})
        await admin.close()
        await progress.catch_up()
