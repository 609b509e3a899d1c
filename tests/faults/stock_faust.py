"""The same worker on Faust as its documentation shows it: one record at a time, acknowledged when the agent takes the next.

python -m tests.faults --only F1,F3,F4 --stock-faust     puts it through the same faults, for comparison
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import faust

from goalstream import worker
from goalstream.cli import main
from goalstream.config import Settings
from goalstream.streams.app import SESSION_SECONDS
from goalstream.streams.processor import Processor
from goalstream.streams.topics import READ_TOPICS

MODULE = "tests.faults.stock_faust"


class _Record(NamedTuple):
    """A record as the processor takes it, made from Faust's message."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def build_app(settings: Settings, processor: Processor, on_fatal: Callable[[Exception], None]) -> faust.App:
    """Faust's own scheduler, transport, acknowledgements and commits; the processor is the product's."""
    app = faust.App(
        settings.kafka_group_id,
        broker="aiokafka://" + settings.kafka_bootstrap_servers.replace(",", ";aiokafka://"),
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=SESSION_SECONDS,
        broker_heartbeat_interval=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    for topic in READ_TOPICS:
        channel = app.topic(settings.kafka_topic_prefix + topic, value_serializer="raw", key_serializer="raw")
        app.agent(channel, name=f"on_{topic.replace('.', '_')}")(_agent(topic, processor))
    return app


def _agent(topic: str, processor: Processor) -> Callable[[Any], Any]:
    async def consume(stream: Any) -> None:
        async for event in stream.events():
            record = _record(event.message)
            await processor.process(topic, {(record.topic, record.partition): [record]})

    return consume


def _record(message: Any) -> _Record:
    return _Record(
        message.topic,
        message.partition,
        message.offset,
        round(message.timestamp * 1000),
        message.key,
        message.value,
        tuple((message.headers or {}).items() if isinstance(message.headers, dict) else message.headers or ()),
    )


def take_over() -> None:
    """From now on the worker of this process runs on it."""
    vars(worker)["build_app"] = build_app


if __name__ == "__main__":
    take_over()
    main()
