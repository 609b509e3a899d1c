"""Redrive on a real broker: what is sent, in which order, once; and what a kill or a refusal leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from goalstream.errors import BrokerUnavailable, OperatorError
from goalstream.streams import letter_topic
from goalstream.streams.connection import Kafka
from goalstream.streams.dead_letters import DeadLetter, DeadLetters
from goalstream.streams.letter_topic import LetterTopic
from goalstream.streams.letters import Letter, Mark
from goalstream.streams.producer import Producer, key_hash
from goalstream.streams.redrive import PORTION, Redriver, Refusals
from tests.services.tiers import RunningKafka
from tests.unit.streams.records import NOON_MS, FakeRecord

PARTITIONS = 4
OLD_MS = NOON_MS - 400 * 24 * 3600 * 1000
"""Over a year before the tests were written: as old as a record may be."""


@dataclass(frozen=True)
class Stage:
    """A broker with all topics, and what a worker would set aside on it."""

    servers: str
    prefix: str

    @property
    def kafka(self) -> Kafka:
        return Kafka(bootstrap_servers=self.servers)

    async def set_aside(self, *records: FakeRecord, reason: str = "not_json", error: str = "not an object") -> None:
        producer = Producer(self.kafka)
        letters = DeadLetters(producer, topic_prefix=self.prefix, max_in_a_row=0, max_share=0)
        await letters.send([DeadLetter((one.topic, one.partition), one, reason, error) for one in records])
        await producer.close()

    def record(self, offset: int, *, partition: int = 0, **changes: Any) -> FakeRecord:
        fields: dict[str, Any] = {
            "value": b"v%d" % offset,
            "topic": f"{self.prefix}form.submitted",
            "timestamp": OLD_MS + offset,
        }
        return FakeRecord(partition=partition, offset=offset, **(fields | changes))

    async def letters(self) -> list[Letter]:
        topic = LetterTopic(self.kafka, topic_prefix=self.prefix)
        return (await topic.read(lambda done, total: None)).letters()

    def redriver(self) -> Redriver:
        return Redriver(self.kafka, topic_prefix=self.prefix)

    async def redrive(self, letters: Sequence[Letter] | None = None) -> Refusals:
        chosen = [letter for letter in await self.letters() if letter.mark is None] if letters is None else letters
        async with self.redriver() as redriver:
            shipments, refused = await redriver.plan(chosen)
            return refused | await redriver.redrive(shipments, lambda count: None)

    async def begin_of_sending(self, count: int) -> None:
        """Returns as soon as `count` records have come back."""
        partitions = [TopicPartition(f"{self.prefix}form.submitted", number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers)
        consumer.assign(partitions)
        async with asyncio.timeout(30), consumer:
            while sum((await consumer.end_offsets(partitions)).values()) < count:
                continue

    async def sent(self) -> list[Any]:
        """Everything on the topic of forms, by partition and in order."""
        partitions = [TopicPartition(f"{self.prefix}form.submitted", number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.servers, auto_offset_reset="earliest")
        consumer.assign(partitions)
        async with asyncio.timeout(30), consumer:
            count = sum((await consumer.end_offsets(partitions)).values())
            records = [await consumer.getone() for _ in range(count)]
        return sorted(records, key=lambda record: (record.partition, record.offset))


@pytest.fixture
async def stage(kafka: RunningKafka, topic_prefix: str) -> Stage:
    return Stage(kafka.bootstrap_servers, topic_prefix)


async def test_a_record_comes_back_as_it_was_with_its_own_timestamp_and_the_attempt(stage: Stage) -> None:
    headers: list[tuple[str, bytes | None]] = [("goalstream_topic", b"forged"), ("h", None)]
    await stage.set_aside(stage.record(5, key=b"k", headers=headers))
    assert await stage.redrive() == {}
    (record,) = await stage.sent()
    assert (record.key, record.value, record.timestamp) == (b"k", b"v5", OLD_MS + 5)
    assert list(record.headers) == [*headers, ("goalstream_attempts", b"2")]
    assert record.partition == key_hash(b"k") % PARTITIONS


async def test_records_without_key_or_value_or_timestamp_come_back_too(stage: Stage) -> None:
    await stage.set_aside(
        stage.record(1, value=None, partition=3), stage.record(2, value=b"", key=b""), stage.record(3, timestamp=-1)
    )
    assert await stage.redrive() == {}
    assert {(record.key, record.value, record.timestamp) for record in await stage.sent()} == {
        (None, None, OLD_MS + 1),
        (b"", b"", OLD_MS + 2),
        (None, b"v3", -1),
    }
    assert 3 in {record.partition for record in await stage.sent()}


async def test_records_come_back_in_the_order_of_their_key(stage: Stage) -> None:
    keys = [f"contact-{number}".encode() for number in range(50)]
    count = 2 * PORTION
    await stage.set_aside(*(stage.record(offset, key=keys[offset % len(keys)]) for offset in range(count)))
    assert await stage.redrive() == {}
    sent = await stage.sent()
    assert len(sent) == count
    for number, key in enumerate(keys):
        own = [record.timestamp - OLD_MS for record in sent if record.key == key]
        assert own == list(range(number, count, len(keys)))


async def test_what_was_redriven_or_dropped_is_marked_and_stays_on_the_topic(stage: Stage) -> None:
    await stage.set_aside(stage.record(1), stage.record(2))
    first, second = await stage.letters()
    await stage.redrive([first])
    async with stage.redriver() as redriver:
        await redriver.drop([second], lambda count: None)
    assert [letter.mark for letter in await stage.letters()] == [Mark.REDRIVEN, Mark.DROPPED]
    await stage.redrive()
    assert len(await stage.sent()) == 1


async def test_copies_of_a_letter_are_sent_once(stage: Stage) -> None:
    await stage.set_aside(stage.record(1), stage.record(2))
    await stage.set_aside(stage.record(1), stage.record(2))
    await stage.redrive()
    assert len(await stage.sent()) == 2
    await stage.set_aside(stage.record(1))
    await stage.redrive()
    assert len(await stage.sent()) == 2


class KilledBeforeMarking(Redriver):
    """Dies when the first portion has been sent."""

    async def _mark(self, letters: Sequence[Letter], mark: Mark) -> None:
        raise KeyboardInterrupt


async def test_whoever_dies_between_sending_and_marking_sends_again_and_then_never_more(stage: Stage) -> None:
    await stage.set_aside(*(stage.record(offset, key=b"k") for offset in range(PORTION + 1)))
    killed = KilledBeforeMarking(stage.kafka, topic_prefix=stage.prefix)
    shipments, _ = await killed.plan(await stage.letters())
    with pytest.raises(KeyboardInterrupt):
        await killed.redrive(shipments, lambda count: None)
    await killed.__aexit__(None, None, None)
    assert len(await stage.sent()) == PORTION
    await stage.redrive()
    await stage.redrive()
    assert len(await stage.sent()) == PORTION + PORTION + 1
    assert {letter.mark for letter in await stage.letters()} == {Mark.REDRIVEN}


@pytest.mark.real_kafka
async def test_a_record_that_kafka_refuses_stays_and_the_others_go(stage: Stage) -> None:
    far_ahead = 4_000_000_000_000
    records = [stage.record(offset, key=b"k") for offset in range(3)]
    await stage.set_aside(records[0], stage.record(9, key=b"k", timestamp=far_ahead), *records[1:])
    refused = await stage.redrive()
    still_open = [letter for letter in await stage.letters() if letter.mark is None]
    assert [letter.origin.offset for letter in still_open] == [9]
    assert list(refused) == [still_open[0].place]
    assert "InvalidTimestamp" in refused[still_open[0].place]
    assert [record.timestamp - OLD_MS for record in await stage.sent()] == [0, 1, 2]


async def test_more_than_fits_into_memory_is_refused_with_what_to_do(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_topic, "MAX_BYTES", 1)
    await stage.set_aside(stage.record(1))
    with pytest.raises(OperatorError, match="take fewer with --limit"):
        await stage.redrive()


async def test_progress_is_told_up_to_the_end_of_the_topic(stage: Stage) -> None:
    await stage.set_aside(*(stage.record(offset) for offset in range(250)))
    heard: list[tuple[int, int]] = []
    await LetterTopic(stage.kafka, topic_prefix=stage.prefix).read(lambda done, total: heard.append((done, total)))
    assert heard == [(100, 250), (200, 250)]


async def test_a_topic_that_is_not_there_and_a_broker_that_is_away_are_told_apart(stage: Stage) -> None:
    with pytest.raises(OperatorError, match="run `goalstream topics`"):
        await Stage(stage.servers, "nowhere.").letters()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1 does not answer"):
        await Stage("127.0.0.1:1", stage.prefix).letters()
