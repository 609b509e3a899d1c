"""Records to Kafka, idempotently: sent in batches, acknowledged by all replicas, or told which were not."""

from __future__ import annotations

import asyncio
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

from goalstream.errors import BrokerUnavailable, TooLargeForKafka
from goalstream.streams.connection import Kafka

log = structlog.get_logger()

SEND_TIMEOUT_SECONDS = 8
"""Below the 10 s after which a sweeper takes over; an idempotent producer never gives up on a batch by itself."""

FLUSH_SECONDS = 1
"""For what others have in flight when a producer is closed."""

MAX_BATCH_BYTES = 256 * 1024
"""Of one partition's records in a request; a larger record travels alone."""

Header = tuple[str, bytes | None]

Outgoing = tuple[str, bytes | None, bytes | None, list[Header]]
"""Topic, key, value and headers of a record to send."""


class Producer:
    """An idempotent producer, made anew after a timeout: what it still had in flight can then never surprise us."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
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
                    **self._kafka.options,
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
