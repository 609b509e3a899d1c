"""The Faust app: settings that were each chosen for a reason, and one agent for each topic that is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import faust
from aiokafka.errors import KafkaError
from faust.tables.manager import TableManager
from yarl import URL

from goalstream.config import Settings
from goalstream.errors import BrokerUnavailable
from goalstream.streams.agents import agent
from goalstream.streams.connection import Kafka
from goalstream.streams.processor import Processor
from goalstream.streams.topics import READ_TOPICS
from goalstream.streams.transport import BatchConsumerThread, BatchTransport, OneBatchPerTopic

SESSION_SECONDS = 6
"""How long after its last heartbeat a worker counts as dead and its partitions move."""

LONGEST_OUTAGE_SECONDS = 24 * 3600
"""A worker that waits for PostgreSQL stays in its group for so long."""


STOP_SECONDS = 5
"""For what had started of an app that cannot start."""


class App(faust.App):
    """A Faust app that leaves no files behind: we use no tables, and Faust would make folders for them at the start."""

    def _create_directories(self) -> None:
        """Does nothing."""


class NoTables(TableManager):
    """Starts at once: Faust's own (0.15.3) sleeps for a second before it looks for tables, and we use none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


def build_app(settings: Settings, processor: Processor, on_fatal: Callable[[Exception], None]) -> faust.App:
    """An app with one agent for each topic; `on_fatal` hears of what must stop the worker."""
    broker = "aiokafka://" + settings.kafka_bootstrap_servers.replace(",", ";aiokafka://")
    app = App(
        settings.kafka_group_id,
        broker=broker,
        broker_credentials=credentials(Kafka.of(settings)),
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        ConsumerScheduler=OneBatchPerTopic,
        TableManager=NoTables,
        consumer_auto_offset_reset="earliest",
        # After an outage longer than the session a leader can assign nothing from old metadata: let it age fast.
        consumer_metadata_max_age_ms=3_000,
        consumer_max_fetch_size=1_048_576,
        # With these two a worker's memory does not grow with its backlog: each topic holds so many polls, and decides one more.
        broker_max_poll_records=2_000,
        stream_buffer_maxsize=2,
        broker_max_poll_interval=LONGEST_OUTAGE_SECONDS,
        consumer_group_instance_id=settings.kafka_group_instance_id or None,
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1,
        broker_request_timeout=60,
        broker_commit_interval=0.5,
        stream_wait_empty=False,
        # Topics are ours to create.
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    # Copies of tables, of which there are none. While there could be some, Faust leaves workers what they have, as long as it is
    # not more than a share rounded up: the third worker of four partitions would have none. The setting `table_standby_replicas`
    # would take another assignor, and a group whose members have different ones lets nobody in: no release could follow another.
    app.assignor.replicas = 0
    thread: Any = BatchConsumerThread
    thread.fetch_max_wait_ms = settings.kafka_fetch_max_wait_ms
    thread.fetch_min_bytes = settings.kafka_fetch_min_bytes
    app.transport = BatchTransport([URL(part) for part in broker.split(";")], app)
    for topic in READ_TOPICS:
        channel = app.topic(settings.kafka_topic_prefix + topic, value_serializer="raw", key_serializer="raw")
        app.agent(channel, name=f"on_{topic.replace('.', '_')}")(agent(topic, processor, on_fatal))
    return app


def credentials(kafka: Kafka) -> faust.auth.Credentials | None:
    """What Faust gives to its consumer and its producer."""
    if kafka.security_protocol.startswith("SASL"):
        return faust.SASLCredentials(
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            ssl_context=kafka.ssl_context,
        )
    return None if kafka.ssl_context is None else faust.SSLCredentials(kafka.ssl_context)


async def start_app(app: faust.App) -> None:
    """Starts an app that was never started. Raises BrokerUnavailable where Kafka is away; the app is then of no more use."""
    app.finalize()
    try:
        await app.start()
    except KafkaError as error:
        with suppress(Exception):
            async with asyncio.timeout(STOP_SECONDS):
                await app.stop()
        raise BrokerUnavailable(f"Kafka went away while the worker started: {type(error).__name__}") from error
