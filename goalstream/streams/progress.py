"""Progress: how far the group of workers has read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from goalstream.errors import BrokerUnavailable
from goalstream.streams.topics import READ_TOPICS

LOOK_SECONDS = 1.0

Offsets: TypeAlias = Mapping[TopicPartition, int]


class Progress:
    """The group's place on all topics that it reads."""

    def __init__(self, bootstrap_servers: str, *, group_id: str, topic_prefix: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group_id = group_id
        self._topics = [topic_prefix + topic for topic in READ_TOPICS]

    async def catch_up(self) -> None:
        """Returns when everything has been acknowledged that was in Kafka at the time of the call, however long that takes.

        Raises BrokerUnavailable.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap_servers)
        try:
            await admin.start()
            await consumer.start()
            ends = await self._ends(admin, consumer)
            while True:
                acknowledged = await admin.list_consumer_group_offsets(self._group_id)
                if has_passed({partition: found.offset for partition, found in acknowledged.items()}, ends):
                    return
                await asyncio.sleep(LOOK_SECONDS)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(f"Kafka does not tell how far the group is: {type(error).__name__}") from error
        finally:
            await consumer.stop()
            await admin.close()

    async def _ends(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> Offsets:
        described = await admin.describe_topics(self._topics)
        partitions = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]
        ends: Offsets = await consumer.end_offsets(partitions)
        return ends


def has_passed(acknowledged: Offsets, ends: Offsets) -> bool:
    """Whether every partition is acknowledged up to its end; an empty one never is, and need not be."""
    return all(acknowledged.get(partition, 0) >= end for partition, end in ends.items())
