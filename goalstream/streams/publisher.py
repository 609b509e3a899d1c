"""From the outbox to Kafka: what the worker has just written, at once; what is due, by the sweeper.

A message is out of the outbox only when the brokers have acknowledged it. Order needs no care: messages carry a revision.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, EncodedMessage
from goalstream.domain.times import format_time
from goalstream.errors import BrokerUnavailable, DatabaseUnavailable, TooLargeForKafka, Unavailable
from goalstream.observability import metrics
from goalstream.observability.traces import UNTRACED, Traces
from goalstream.streams.ports import Outbox
from goalstream.streams.producer import Header, Producer

log = structlog.get_logger()

MAX_WAITING = 10
"""Settlements whose messages wait to be sent; beyond it the stream waits, so that memory stays bounded."""

SWEEP_SECONDS = 1.0
SWEEP_LIMIT = 1_000

MEASURE_SECONDS = 5.0
"""Between two looks at how full the outbox is: counting a million messages takes PostgreSQL a third of a second."""


class Origin(NamedTuple):
    """The record of which messages tell: its timestamp, and its trace."""

    record_at: datetime
    traceparent: str | None


class _Waiting(NamedTuple):
    """The messages of one settlement."""

    messages: Sequence[EncodedMessage]
    origins: Sequence[Origin]


class Publisher:
    """Publishes messages and takes them out of the outbox."""

    def __init__(self, producer: Producer, outbox: Outbox, *, topic_prefix: str, traces: Traces = UNTRACED) -> None:
        self._producer = producer
        self._outbox = outbox
        self._topic_prefix = topic_prefix
        self._traces = traces
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)

    async def hand_over(self, messages: Sequence[EncodedMessage], origins: Sequence[Origin] = ()) -> None:
        """Takes messages that are in the outbox, to publish them at once; waits while too many are waiting.

        `origins` are the records of which the messages tell, for the metrics.
        """
        if messages:
            await self._waiting.put(_Waiting(messages, origins))

    async def publish_waiting(self) -> None:
        """Publishes what is handed over, for ever; what fails is left to the sweepers."""
        while True:
            taken = [await self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            messages = [message for one in taken for message in one.messages]
            try:
                acknowledged, _ = await self._send(messages, "live")
                if len(acknowledged) == len(messages):
                    _observe(origin for one in taken for origin in one.origins)
                await self._outbox.delete(acknowledged)
            except Unavailable as error:
                metrics.PUBLISH_FAILURES.inc()
                log.warning("publish_failed", messages=len(messages), error=str(error))
            for _ in taken:
                self._waiting.task_done()

    async def drain(self) -> None:
        """Waits until everything handed over has been published or left to the sweepers."""
        await self._waiting.join()

    async def sweep(self) -> None:
        """Publishes everything that is due, in portions. Raises Unavailable."""
        found = SWEEP_LIMIT
        while found == SWEEP_LIMIT:
            async with self._outbox.due(SWEEP_LIMIT) as portion:
                found = len(portion.messages)
                if found:
                    portion.acknowledged, portion.too_large = await self._send(portion.messages, "sweeper")
                    acknowledged = set(portion.acknowledged)
                    since = zip(portion.messages, portion.since, strict=True)
                    _observe(
                        Origin(at, None)
                        for message, at in since
                        if message.topic == GOAL_ACHIEVED_TOPIC and message in acknowledged
                    )
                    log.info("swept", messages=len(portion.acknowledged))

    async def sweep_for_ever(self) -> None:
        """Sweeps every second; while a service is away, tries again."""
        while True:
            try:
                await self.sweep()
                metrics.SWEEPS.labels("done").inc()
            except (DatabaseUnavailable, BrokerUnavailable) as error:
                metrics.SWEEPS.labels("failed").inc()
                log.warning("sweep_failed", error=str(error))
            await asyncio.sleep(SWEEP_SECONDS)

    async def measure(self) -> None:
        """Tells the metrics how full the outbox is; not a number where PostgreSQL does not answer."""
        messages = age_seconds = math.nan
        try:
            depth = await self._outbox.depth()
            messages, age_seconds = depth.messages, depth.age_seconds
        except DatabaseUnavailable as error:
            log.debug("outbox_not_measured", error=str(error))
        metrics.OUTBOX_MESSAGES.set(messages)
        metrics.OUTBOX_AGE_SECONDS.set(age_seconds)

    async def measure_for_ever(self) -> None:
        """Measures every five seconds, also while a sweep takes its time."""
        while True:
            await self.measure()
            await asyncio.sleep(MEASURE_SECONDS)

    async def _send(
        self, messages: Sequence[EncodedMessage], way: str
    ) -> tuple[Sequence[EncodedMessage], Sequence[EncodedMessage]]:
        """The messages that Kafka has acknowledged, and those that are too large. Raises BrokerUnavailable."""
        prefix, too_large = self._topic_prefix, list[EncodedMessage]()
        try:
            with self._traces.publish(messages, prefix=prefix) as traceparents:
                await self._producer.send(
                    [
                        (prefix + m.topic, m.subject.encode(), m.body.encode(), cloudevent_headers(m, traceparent))
                        for m, traceparent in zip(messages, traceparents, strict=True)
                    ]
                )
        except TooLargeForKafka as error:
            too_large = [messages[position] for position in error.too_large]
            messages = [messages[position] for position in error.acknowledged]
            metrics.PUBLISH_FAILURES.inc()
            for message in too_large:
                log.error(
                    "message_too_large",
                    topic=prefix + message.topic,
                    message_id=message.message_id,
                    bytes=len(message.body.encode()),
                )
        if log.is_enabled_for(logging.DEBUG):
            for message in messages:
                log.debug("published", topic=prefix + message.topic, message_id=message.message_id, way=way)
        for topic in {message.topic for message in messages}:
            metrics.PUBLISHED.labels(topic, way).inc(sum(message.topic == topic for message in messages))
        return messages, too_large


def _observe(origins: Iterable[Origin]) -> None:
    """Tells the metrics how long it took until messages were acknowledged."""
    for record_at, traceparent in origins:
        metrics.END_TO_END_SECONDS.observe(metrics.age_seconds(record_at), metrics.exemplar(traceparent))


def cloudevent_headers(message: EncodedMessage, traceparent: str | None) -> list[Header]:
    """The headers of CloudEvents 1.0 binary mode, which follow from the message alone, and its trace's."""
    headers: list[Header] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message.message_id.encode()),
        ("ce_source", b"goalstream"),
        ("ce_type", message.topic.encode()),
        ("ce_subject", message.subject.encode()),
        ("ce_time", format_time(message.time).encode()),
        ("ce_accountid", message.account_id.encode()),
        ("content-type", b"application/json"),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers
