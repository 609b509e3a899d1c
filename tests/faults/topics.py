"""Topics seen from outside, through librdkafka: another client than the product's, so that no defect hides in both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # documented, not in __all__

from goalstream.streams.topics import ALL_TOPICS, READ_TOPICS
from tests.oracle.history import Headers, Record

ANSWER_SECONDS = 30
SHORTLY_SECONDS = 2
"""For questions that are asked again: librdkafka repeats one until its time is over, however long the pause in between."""

PORTION = 10_000
QUIET = 2
"""Of syslog: librdkafka does not print that a broker is away, which here is often meant to be."""


Origin = tuple[str, int, int]
"""Topic without its prefix, partition, offset."""

Partition = tuple[str, int]
"""Topic without its prefix, partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A record as Kafka holds it, and where."""

    origin: Origin
    record: Record


class Topics:
    """The topics of one stage and the consumer group that reads them. Everything blocks."""

    def __init__(self, bootstrap_servers: str, *, prefix: str, group: str, partitions: int) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.prefix = prefix
        self.group = group
        self.partitions = partitions
        self._common: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers, "log_level": QUIET}
        self._refused: list[str] = []
        self.ignored_key: bytes | None = None
        """Records with this key are left out of what is read: of what is told in masses, and tells nothing."""

    @cached_property
    def _admin(self) -> AdminClient:
        return AdminClient(self._common)

    @cached_property
    def _producer(self) -> Producer:
        return Producer(
            self._common
            | {"acks": "all", "enable.idempotence": True, "linger.ms": 5, "queue.buffering.max.messages": 200_000}
        )

    def reconnect(self) -> None:
        """The next question is asked on new connections: after an outage librdkafka waits on the old ones for long."""
        self.__dict__.pop("_admin", None)

    def consumer(self) -> Consumer:
        """One that belongs to no group and commits nothing."""
        return Consumer(self._common | {"group.id": "nobody", "enable.auto.commit": False})

    def send(self, record: Record, partition: int) -> None:
        """Hands a record over, with its own timestamp; returns at once, except while too many are on their way."""
        while True:
            try:
                self._producer.produce(
                    self.prefix + record.topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=partition,
                    timestamp=record.timestamp,
                    on_delivery=self._delivered,
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def flush(self, seconds: float = 120) -> None:
        """Returns when the brokers have everything. Raises RuntimeError where they do not, or refuse a record."""
        left = self._producer.flush(seconds)
        if left or self._refused:
            raise RuntimeError(f"{left} records not acknowledged within {seconds} s; refused: {self._refused[:3]}")

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._refused.append(str(error))

    def ends(self, topics: Iterable[str] = READ_TOPICS) -> dict[Partition, int]:
        """Where the partitions end, empty ones left out. Raises KafkaException."""
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {
            TopicPartition(self.prefix + topic, number): latest for topic in topics for number in range(self.partitions)
        }
        answers = self._admin.list_offsets(wanted, request_timeout=ANSWER_SECONDS)
        try:
            found = {self._named(partition): future.result().offset for partition, future in answers.items()}
        except KafkaException:
            self.reconnect()
            raise
        return {partition: end for partition, end in found.items() if end > 0}

    def committed(self) -> dict[Partition, int]:
        """Up to where the group has acknowledged the topics; partitions without a commit are out. Raises KafkaException."""
        asked = [ConsumerGroupTopicPartitions(self.group)]
        (future,) = self._admin.list_consumer_group_offsets(asked, request_timeout=SHORTLY_SECONDS).values()
        try:
            found = future.result().topic_partitions
        except KafkaException:
            self.reconnect()
            raise
        return {self._named(partition): partition.offset for partition in found if partition.offset >= 0}

    def lags(self) -> dict[Partition, int]:
        """How many records the group has not acknowledged, by partition; empty when it is through.

        A commit beyond the end, which must never be, shows as a negative lag. Raises KafkaException.
        """
        committed, ends = self.committed(), self.ends()
        found = {partition: end - committed.get(partition, 0) for partition, end in ends.items()}
        return {partition: lag for partition, lag in found.items() if lag}

    def rewind(self) -> None:
        """Has the group begin again with the first record of everything; nobody may be in it. Raises KafkaException."""
        begin = [TopicPartition(self.prefix + topic, number, 0) for topic, number in self.ends()]
        asked = [ConsumerGroupTopicPartitions(self.group, begin)]
        (future,) = self._admin.alter_consumer_group_offsets(asked, request_timeout=ANSWER_SECONDS).values()
        future.result()

    def assigned(self) -> list[int]:
        """How many partitions each member of the group reads; empty while it rebalances."""
        (future,) = self._admin.describe_consumer_groups([self.group], request_timeout=SHORTLY_SECONDS).values()
        try:
            described = future.result()
        except KafkaException:
            self.reconnect()
            return []
        if described.state.name != "STABLE":
            return []
        return [len(member.assignment.topic_partitions) for member in described.members]

    def read(self, topics: Iterable[str], since: Mapping[Partition, int] | None = None) -> list[Stored]:
        """Everything that topics hold now, or what they have got since certain offsets."""
        begins = since or {}
        ends = {partition: end for partition, end in self.ends(topics).items() if end > begins.get(partition, 0)}
        consumer = self.consumer()
        try:
            consumer.assign(
                [TopicPartition(self.prefix + topic, number, begins.get((topic, number), 0)) for topic, number in ends]
            )
            found: list[Stored] = []
            open_ends, deadline = dict(ends), time.monotonic() + ANSWER_SECONDS
            while open_ends:
                fetched = consumer.consume(PORTION, timeout=0.5)
                for message in fetched:
                    if message.error() is not None:
                        raise KafkaException(message.error())
                    topic, number, offset = self._origin(message)
                    if self.ignored_key is None or message.key() != self.ignored_key:
                        found.append(self._stored(message))
                    if offset + 1 >= ends[topic, number]:
                        open_ends.pop((topic, number), None)
                if fetched:
                    deadline = time.monotonic() + ANSWER_SECONDS
                elif time.monotonic() > deadline:
                    raise TimeoutError(f"nothing more comes from {sorted(open_ends)}")
            return found
        finally:
            consumer.close()

    def delete(self) -> None:
        """Removes the topics."""
        for future in self._admin.delete_topics([self.prefix + topic for topic in ALL_TOPICS]).values():
            future.result()

    def _named(self, partition: Any) -> Partition:
        return partition.topic.removeprefix(self.prefix), partition.partition

    def _origin(self, message: Any) -> Origin:
        return message.topic().removeprefix(self.prefix), message.partition(), message.offset()

    def _stored(self, message: Any) -> Stored:
        headers: Headers = tuple(message.headers() or ())
        origin = self._origin(message)
        return Stored(
            origin=origin,
            record=Record(
                topic=origin[0],
                timestamp=message.timestamp()[1],
                key=message.key(),
                value=message.value(),
                headers=headers,
            ),
        )


class Arrivals:
    """Notes when each message of a topic arrives, by `ce_id`, from the beginning to the end of the block."""

    def __init__(self, topics: Topics, topic: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._is_over = Event()
        self._consumer = topics.consumer()
        self._consumer.assign([TopicPartition(topics.prefix + topic, n, 0) for n in range(topics.partitions)])
        self._thread = Thread(target=self._watch, daemon=True)
        self._seen: dict[str, float] = {}

    @property
    def first(self) -> Mapping[str, float]:
        """When each message came for the first time."""
        return self._seen

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._is_over.set()
        self._thread.join()
        self._consumer.close()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                headers: Any = message.headers() or ()
                self._seen.setdefault((dict(headers).get("ce_id") or b"").decode(), self._clock())
