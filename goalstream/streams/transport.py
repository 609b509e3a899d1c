"""Faust's transport, changed in one thing: an agent receives one message for each poll of its topic.

The message's value is the batch, {partition: [raw records]}. Stock Faust makes four asyncio tasks for every record and
commits past records that are not done; one message for a poll costs 3 µs a record, and makes commit tracking simple: the
offset after a batch may be committed once that batch and all before it on the partition are acknowledged.

Uses the extension points of faust-streaming 0.15.3: the ConsumerScheduler setting, a Transport, a consumer thread.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import TP, ConsumerMessage

from goalstream.domain.times import from_milliseconds
from goalstream.streams import consumers
from goalstream.streams.brokers import wait_for_brokers

Batch = dict[TP, list[Any]]


class OneBatchPerTopic:
    """Faust's consumer scheduler: hands over the records of a poll by topic instead of one at a time."""

    def iterate(self, records: Mapping[TP, Sequence[Any]]) -> Iterator[tuple[TP, Batch]]:
        batches: dict[str, Batch] = {}
        for partition, fetched in records.items():
            batches.setdefault(partition.topic, {})[partition] = list(fetched)
        for batch in batches.values():
            yield next(iter(batch)), batch


class _Flight(NamedTuple):
    """A batch on its way through an agent: a partition's first and last record in it."""

    message: Any
    first: Any
    last: Any

    @property
    def next_offset(self) -> int:
        """Where the partition goes on after it."""
        return int(self.last.offset) + 1


class BatchConsumer(driver.Consumer):
    """Consumer that acknowledges batches: a partition's offset advances over finished batches, never past another."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_flight: dict[TP, deque[_Flight]] = {}
        self._finished: dict[TP, int] = {}
        self._last_done: dict[TP, _Flight] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def abandon(self) -> None:
        """Ends its thread, whatever that waits for."""
        if self._thread is not None:
            cast("BatchConsumerThread", self._thread).abandon()

    def _to_message(self, tp: TP, batch: Batch) -> Any:
        # Its offset is its own partition's last: Faust silently drops a message below the last one read of its partition.
        last = batch[tp][-1]
        message: Any = ConsumerMessage(
            topic=tp.topic,
            partition=tp.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=last.timestamp_type,
            headers=None,
            key=None,
            value=batch,  # type: ignore[arg-type]  # Faust passes on whatever it is given
            checksum=None,
            serialized_key_size=0,
            serialized_value_size=0,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )
        for partition, records in batch.items():
            flight = _Flight(message, records[0], records[-1])
            self._in_flight.setdefault(partition, deque()).append(flight)
        return message

    def on_buffer_full(self, tp: TP) -> None:
        """Does nothing: Faust would pause the partition and sleep; the queue's own limit holds the fetcher instead."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Does nothing, as `on_buffer_full` does."""

    async def verify_all_partitions_active(self) -> None:
        """Does nothing. Faust's own (0.15.3) asserts that a partition has a position, which brokers take their time to tell
        after every assignment; what fails there ends the consumer, and nobody hears of it. Lag and readiness tell of slow ones.
        """

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Does nothing: batches know themselves where they end, whatever offsets compaction left out."""

    def ack(self, message: Any) -> bool:
        """Acknowledges a batch, unless its partitions were taken away since it was fetched."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        if message.generation_id != self.app.consumer_generation_id:
            return False
        for partition in message.value:
            flights = self._in_flight.get(partition, deque())
            while flights and flights[0].message.acked:
                self._last_done[partition] = flights.popleft()
                self._finished[partition] = self._last_done[partition].next_offset
            self._acked[partition] = [1]  # tells the committer to ask for this partition's offset
        self._n_acked += 1
        return True

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp] = []
        return self._finished.pop(tp, None)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forgets what was on its way on partitions that another worker reads now."""
        await super().on_partitions_revoked(revoked)
        for partition in revoked:
            self._in_flight.pop(partition, None)
            self._finished.pop(partition, None)
            self._last_done.pop(partition, None)

    def _end_of(self, partition: TP) -> int | None:
        """Where a partition ends, as far as it is known; it may be taken away at this moment."""
        try:
            return self.highwater(partition)
        except AssertionError:
            return None

    def lag(self, topic: str) -> tuple[int, datetime | None]:
        """How many records of a topic's partitions here are not acknowledged, and the timestamp of the oldest, or of one before
        it; None without any.
        """
        records, oldest = 0, None
        for partition in self.assignment():
            if partition.topic != topic or (end := self._end_of(partition)) is None:
                continue
            flights, done = self._in_flight.get(partition), self._last_done.get(partition)
            if flights:
                begin, since = flights[0].first.offset, flights[0].first.timestamp
            elif done is not None:
                begin, since = done.next_offset, done.last.timestamp
            else:
                continue
            if begin < end:
                records += end - begin
                oldest = since if oldest is None else min(oldest, since)
        return records, None if oldest is None else from_milliseconds(oldest)


class RawFetched(OrderedDict[TP, Any]):
    """What aiokafka has fetched, by partition: its records come out as they were parsed.

    Stock aiokafka makes a data class of eleven fields of each, at half a microsecond, of which the topic and the partition are
    the batch's anyway.
    """

    def __setitem__(self, tp: TP, fetched: Any) -> None:
        if isinstance(fetched, FetchResult):
            fetched._partition_records._consumer_record = _as_parsed
        super().__setitem__(tp, fetched)


def _as_parsed(_: TP, record: Any) -> Any:
    return record


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Consumer thread with fetch settings of ours; the driver fixes them at one record and 1,500 ms."""

    fetch_max_wait_ms = 20
    fetch_min_bytes = 65_536

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.fetch_max_wait_ms
        consumer._fetch_min_bytes = self.fetch_min_bytes
        wait_for_brokers(consumer._client)
        return consumer

    async def on_start(self) -> None:
        """Starts the consumer; nothing is fetched yet, since it has no partitions."""
        await super().on_start()
        self._ensure_consumer()._fetcher._records = RawFetched()

    async def on_thread_stop(self) -> None:
        """Stops the consumer once nobody asks it for anything any more."""
        await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
        if self._consumer is not None:
            await consumers.stop(self._consumer)

    def abandon(self) -> None:
        """Ends the thread, whatever it waits for; to be called from the loop that started it."""
        with suppress(RuntimeError):  # its loop is closed: it has ended already
            self.thread_loop.call_soon_threadsafe(self._cancel_all)

    def _cancel_all(self) -> None:
        for task in asyncio.all_tasks(self.thread_loop):
            task.cancel()

    def _start_thread(self) -> None:
        try:
            super()._start_thread()
        except asyncio.CancelledError:  # abandoned
            self.set_shutdown()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Back to what is committed, and to the beginning where nothing is.

        While a group rebalances Faust throws away what it has fetched, and has this read it again; aiokafka 0.14 seeks only
        where something is committed, so that on a partition without a commit the records would be left out until the next
        rebalance.
        """
        sought: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return sought

    async def _seek_to_committed(self) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        committed: Mapping[TP, int] = await consumer.seek_to_committed()
        if fresh := [partition for partition, offset in committed.items() if not offset]:
            # A partition that was taken away meanwhile is sought again when it comes back.
            with suppress(IllegalStateError):
                await consumer.seek_to_beginning(*fresh)
        return committed


class BatchTransport(driver.Transport):
    """The transport that makes such consumers."""

    Consumer = BatchConsumer
