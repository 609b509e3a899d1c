"""What stands around the product in acceptance tests: the CRM that produces, the workflow engine that consumes, a worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from goalstream.config import Settings
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import READ_TOPICS

WAIT_SECONDS = 30


def envelope(event_type: str, account_id: str, data: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A plain envelope of an event that happens now."""
    document = {
        "event_id": str(uuid4()),
        "event_type": event_type,
        "account_id": account_id,
        "timestamp": datetime.now(UTC).isoformat(),
        "data": dict(data),
    }
    return document | changes


class Crm:
    """Produces records and reads what comes out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.kafka_topic_prefix
        self._kafka = Kafka.of(settings)
        self._producer = AIOKafkaProducer(**self._kafka.options, enable_idempotence=True)

    async def __aenter__(self) -> Crm:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def send(self, topic: str, value: object, **record: Any) -> None:
        """One record, acknowledged; a document is sent as JSON."""
        body = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        await self._producer.send_and_wait(self._prefix + topic, body, **record)

    async def send_nothing(self, topic: str) -> None:
        """A record with neither key nor value, as other clients can send it."""
        batch = self._producer.create_batch()
        batch.append(key=None, value=None, timestamp=None)
        await (await self._producer.send_batch(batch, self._prefix + topic, partition=0))

    async def read(self, topic: str, count: int) -> list[Any]:
        """The first `count` records of a topic. Raises TimeoutError when there are fewer."""
        consumer = AIOKafkaConsumer(
            self._prefix + topic, **self._kafka.options, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await consumer.start()
        try:
            records: list[Any] = []
            async with asyncio.timeout(WAIT_SECONDS):
                while len(records) < count:
                    for fetched in (await consumer.getmany(timeout_ms=200)).values():
                        records += fetched
            return records
        finally:
            await consumer.stop()

    async def committed_everything(self) -> bool:
        """Whether the worker's group has committed up to the end of every topic that it reads."""
        consumer = AIOKafkaConsumer(
            **self._kafka.options, group_id=self._settings.kafka_group_id, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [
                TopicPartition(self._prefix + topic, number)
                for topic in READ_TOPICS
                for number in consumer.partitions_for_topic(self._prefix + topic)
                or await _partitions(consumer, self._prefix + topic)
            ]
            ends = await consumer.end_offsets(partitions)
            return all([(await consumer.committed(partition) or 0) == end for partition, end in ends.items()])
        finally:
            await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client._wait_on_metadata(topic)
    return consumer.partitions_for_topic(topic) or set()


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[subprocess.Popen[bytes]]:
    """A worker process; it is asked to stop at the end, unless it is gone by then."""
    process = start_worker(settings)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 20)


def start_worker(settings: Settings, stderr: int | None = None) -> subprocess.Popen[bytes]:
    """Starts `goalstream worker` with these settings, as an operator would."""
    return subprocess.Popen([sys.executable, "-m", "goalstream", "worker"], env=environment(settings), stderr=stderr)


def environment(settings: Settings) -> dict[str, str]:
    """The environment that says the same as the settings."""
    found = {name: value for name, value in os.environ.items() if not name.startswith("GOALSTREAM_")}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if value is not None:
            shown = value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)
            found[f"GOALSTREAM_{name.upper()}"] = shown
    return found


async def eventually(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """What an asynchronous condition gives as soon as it is true. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):  # noqa: ASYNC110 - any condition, not one that somebody sets
            await asyncio.sleep(0.05)
        return found
