"""What workers have published, read again by a consumer group of its own: its place moves once what was read is kept elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from goalstream.domain.messages import EncodedMessage
from goalstream.domain.texts import is_uuid
from goalstream.domain.times import from_milliseconds, parse_time
from goalstream.domain.webhooks import WEBHOOK_TOPICS
from goalstream.streams import consumers
from goalstream.streams.brokers import wait_for_brokers
from goalstream.streams.connection import Kafka
from goalstream.streams.topics import LARGE_MAX_BYTES

log = structlog.get_logger()

_object = msgspec.json.Decoder(dict[str, Any]).decode

PORTION = 500
"""Records that are handed over at once."""

WAIT_MS = 500

SESSION_MS = 10_000
"""Whoever has not been heard of for so long has left the group."""


class Published(NamedTuple):
    """A message as Kafka has it, and when it was put there, in milliseconds since 1970."""

    message: EncodedMessage
    published_ms: int


class PublishedMessages:
    """The messages about achievements, of all accounts."""

    def __init__(self, kafka: Kafka, *, group_id: str, topic_prefix: str) -> None:
        self._kafka = kafka
        self._group_id = group_id
        self._topic_prefix = topic_prefix

    async def follow(self, keep: Callable[[Sequence[Published]], Awaitable[None]], began: Callable[[], None]) -> None:
        """Hands over what is published, for ever, and acknowledges it once `keep` has returned; `began` hears that it reads.

        Raises BrokerUnavailable while Kafka is away, and what `keep` raises: then what it was given comes again.
        """
        consumer = AIOKafkaConsumer(
            *(self._topic_prefix + topic for topic in WEBHOOK_TOPICS),
            **self._kafka.options,
            group_id=self._group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            max_partition_fetch_bytes=LARGE_MAX_BYTES,
        )
        wait_for_brokers(consumer._client)
        try:
            async with consumers.running(consumer):
                began()
                while True:
                    await self._hand_over(consumer, keep)
        except (KafkaError, OSError, TimeoutError) as error:
            raise await self._kafka.unavailable(error) from error

    async def _hand_over(
        self, consumer: AIOKafkaConsumer, keep: Callable[[Sequence[Published]], Awaitable[None]]
    ) -> None:
        """One portion, or nothing for a moment."""
        fetched = await consumer.getmany(timeout_ms=WAIT_MS, max_records=PORTION)
        records = [record for partition in fetched.values() for record in partition]
        if not records:
            return
        await keep(list(self._messages(records)))
        try:
            await consumer.commit(
                {partition: partition_records[-1].offset + 1 for partition, partition_records in fetched.items()}
            )
        except (CommitFailedError, IllegalStateError):
            log.info("group_has_changed", group=self._group_id)  # whoever has the partition now reads it again

    def _messages(self, records: Sequence[ConsumerRecord[Any, Any]]) -> Iterator[Published]:
        for record in records:
            message = _message(record, record.topic.removeprefix(self._topic_prefix))
            if message is None:
                log.warning("not_of_goalstream", topic=record.topic, partition=record.partition, offset=record.offset)
            else:
                yield Published(message, record.timestamp)


def _message(record: ConsumerRecord[Any, Any], topic: str) -> EncodedMessage | None:
    """The message of a record; None where it is none that a worker has published."""
    said = {name: value.decode(errors="replace") for name, value in record.headers if value is not None}
    account_id, message_id, time = (
        said.get("ce_accountid", ""),
        said.get("ce_id", ""),
        parse_time(said.get("ce_time", "")),
    )
    subject = said.get("ce_subject", "")
    is_ours = is_uuid(account_id) and is_uuid(message_id) and is_uuid(subject) and time is not None and record.value
    if not is_ours or time is None or from_milliseconds(record.timestamp) is None:
        return None
    try:
        body = record.value.decode()
        _object(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
    return EncodedMessage(account_id, message_id, topic, subject, time, body, said.get("traceparent"))
