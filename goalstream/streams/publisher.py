"""From the outbox to Kafka: what the worker has just written, at once; what is due, by the sweeper.

A message is out of the outbox only when the brokers have acknowledged it. Order needs no care: messages carry a revision.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerClosed
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from goalstream.domain.messages import EncodedMessage
from goalstream.errors import BrokerUnavailable, DatabaseUnavailable, TooLargeForKafka, Unavailable
from goalstream.observability import metrics
from goalstream.streams.ports import Outbox

log = structlog.get_logger()

SEND_TIMEOUT_SECONDS = 8
"""Below the 10 s after which a sweeper takes over; an idempotent producer never gives up on a batch by itself."""

FLUSH_SECONDS = 1
"""For what others have in flight when a producer is closed."""

MAX_WAITING_MESSAGES = 20_000
"""Messages that wait to be sent; beyond it the stream waits, so that memory stays bounded."""

MAX_BATCH_BYTES = 256 * 1024
"""Of one partition's records in a request; a larger record travels alone."""

SWEEP_SECONDS = 1.0
SWEEP_LIMIT = 1_000

MEASURE_SECONDS = 5.0
"""Between two looks at how full the outbox is: counting a million messages takes PostgreSQL a third of a second."""


Header = tuple[str, bytes | None]

Outgoing = tuple[str, bytes | None, bytes | None, list[Header]]
"""Topic, key, value and headers of a record to send."""


class Producer:
    """An idempotent producer, made anew after a timeout: what it still had in flight can then never surprise us."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Sends (topic, key, value, headers) and waits until all are acknowledged. Raises BrokerUnavailable, or of it
        TooLargeForKafka.
        """
        producer = None
        sent: list[_Sent] = []
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                producer = await self._started()
                for (topic, partition), positions in (await _by_partition(producer, records)).items():
                    for batch, held in _batches(producer, records, positions):
                        sent.append(_Sent(await producer.send_batch(batch, topic, partition=partition), held))
                await _acknowledged(sent)
        except (KafkaError, OSError, TimeoutError) as error:
            for one in sent:
                one.future.cancel()  # it stands for the batch, and is not the batch: nobody waits for it any more
            self._give_up(producer)
            raise BrokerUnavailable(f"Kafka did not acknowledge: {type(error).__name__} {error}") from error
        except TooLargeForKafka:
            self._give_up(producer)  # the next batch of the partition would be out of its sequence
            raise

    def _give_up(self, producer: AIOKafkaProducer | None) -> None:
        """Ends a producer whose records did not go through, unless somebody else who used it has done so already."""
        if self._producer is None or producer is not self._producer:
            return
        self._producer = None
        ending = asyncio.create_task(_end(producer))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Ends the producer; it starts again when it is next needed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await producer.stop()
            except (KafkaError, OSError, TimeoutError):
                log.warning("producer_abandoned")
                await _end(producer)
        await asyncio.gather(*self._ending)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap_servers,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    request_timeout_ms=SEND_TIMEOUT_SECONDS * 1000,
                    max_batch_size=MAX_BATCH_BYTES,
                    max_request_size=4 * 1024 * 1024,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


async def _end(producer: Any) -> None:
    """Ends a producer without sending what it still has; whoever still waits for a batch gets ProducerClosed.

    `stop` of aiokafka 0.14 waits until the brokers have taken everything, and where that is cut short the sender goes on for
    ever, with connections and batches. Cancelled, it still waits for its requests in flight, until it is cancelled again.
    """
    producer._closed = True
    sender = producer._sender.sender_task
    while sender is not None and not sender.done():
        sender.cancel()
        await asyncio.wait([sender], timeout=0.1)
    for connection in producer.client._conns.values():
        # Closed gently it waits until everything written has left, and a broker that hangs may never take it.
        if (transport := connection._protocol._transport) is not None:
            transport.abort()
    await producer.client.close()
    accumulator = producer._message_accumulator
    # Where it looks for them when they are done, also those that it has put back to try again.
    accumulator._pending_batches.update(batch for batches in accumulator._batches.values() for batch in batches)
    for batch in list(accumulator._pending_batches):
        if not batch.future.done():
            batch.future.set_exception(ProducerClosed())
            batch.future.exception()  # nobody may be left to look at it


class _Sent(NamedTuple):
    """A batch on its way, and the positions of its records in what is to be sent."""

    future: asyncio.Future[Any]
    positions: Sequence[int]


async def _acknowledged(sent: Sequence[_Sent]) -> None:
    """Waits for all batches, whatever becomes of some. Raises TooLargeForKafka, or what the first of the others failed with."""
    outcomes = await asyncio.gather(*(one.future for one in sent), return_exceptions=True)
    ended = list(zip(sent, outcomes, strict=True))
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if any(isinstance(outcome, MessageSizeTooLargeError) for outcome in failed):
        raise TooLargeForKafka(
            too_large=[at for one, end in ended if isinstance(end, MessageSizeTooLargeError) for at in one.positions],
            acknowledged=[at for one, end in ended if not isinstance(end, BaseException) for at in one.positions],
        )
    if failed:
        raise failed[0]


async def _by_partition(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> dict[tuple[str, int], list[int]]:
    """The records' positions by the partition of their key, in order: the same partition as Kafka's own clients choose."""
    grouped: dict[tuple[str, int], list[int]] = defaultdict(list)
    counts = {topic: len(await producer.partitions_for(topic)) for topic in {record[0] for record in records}}
    for position, (topic, key, *_) in enumerate(records):
        hashed = random.getrandbits(31) if key is None else key_hash(key)
        grouped[topic, hashed % counts[topic]].append(position)
    return grouped


@lru_cache(maxsize=4096)
def key_hash(key: bytes) -> int:
    """What Kafka's own clients take modulo the number of partitions.

    Remembered, since an achievement and its exit have the same key and the function is pure Python.
    """
    return int(murmur2(key)) & 0x7FFFFFFF


def _batches(
    producer: AIOKafkaProducer, records: Sequence[Outgoing], positions: Sequence[int]
) -> Iterator[tuple[BatchBuilder, list[int]]]:
    """Full batches of one partition's records, with the positions that each holds: a record by itself would cost a future and
    a wake-up.
    """
    batch, held = producer.create_batch(), list[int]()
    for position in positions:
        _, key, value, headers = records[position]
        if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
            yield batch, held
            batch, held = producer.create_batch(), []
            batch.append(timestamp=None, key=key, value=value, headers=headers)
        held.append(position)
    batch.close()
    yield batch, held


class Publisher:
    """Publishes messages and takes them out of the outbox."""

    def __init__(self, producer: Producer, outbox: Outbox, *, topic_prefix: str) -> None:
        self._producer = producer
        self._outbox = outbox
        self._topic_prefix = topic_prefix
        self._waiting: asyncio.Queue[EncodedMessage] = asyncio.Queue(MAX_WAITING_MESSAGES)

    async def hand_over(self, messages: Sequence[EncodedMessage]) -> None:
        """Takes messages that are in the outbox, to publish them at once; waits while too many are waiting."""
        for message in messages:
            await self._waiting.put(message)

    async def publish_waiting(self) -> None:
        """Publishes what is handed over, for ever; what fails is left to the sweepers."""
        while True:
            messages = [await self._waiting.get()]
            while not self._waiting.empty():
                messages.append(self._waiting.get_nowait())
            try:
                acknowledged, _ = await self._send(messages, "live")
                await self._outbox.delete(acknowledged)
            except Unavailable as error:
                metrics.PUBLISH_FAILURES.inc()
                log.warning("publish_failed", messages=len(messages), error=str(error))
            for _ in messages:
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
                    log.info("swept", messages=len(portion.acknowledged))

    async def sweep_for_ever(self) -> None:
        """Sweeps every second; while a service is away, tries again."""
        while True:
            try:
                await self.sweep()
            except (DatabaseUnavailable, BrokerUnavailable) as error:
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
            await self._producer.send(
                [(prefix + m.topic, m.subject.encode(), m.body.encode(), cloudevent_headers(m)) for m in messages]
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
        for topic in {message.topic for message in messages}:
            metrics.PUBLISHED.labels(topic, way).inc(sum(message.topic == topic for message in messages))
        return messages, too_large


def cloudevent_headers(message: EncodedMessage) -> list[Header]:
    """The headers of CloudEvents 1.0 binary mode, which follow from the message alone."""
    headers: list[Header] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", message.message_id.encode()),
        ("ce_source", b"goalstream"),
        ("ce_type", message.topic.encode()),
        ("ce_subject", message.subject.encode()),
        ("ce_time", message.time.isoformat().replace("+00:00", "Z").encode()),
        ("ce_accountid", message.account_id.encode()),
        ("content-type", b"application/json"),
    ]
    if message.traceparent is not None:
        headers.append(("traceparent", message.traceparent.encode()))
    return headers
