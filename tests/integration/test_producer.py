"""The producer on a real broker: where Kafka's own client would put a record, and any record that there is."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import Sequence
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.client import ConnectionGroup
from aiokafka.conn import AIOKafkaConnection

from goalstream.dev.kafka import EmbeddedKafka
from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC
from goalstream.errors import BrokerUnavailable, TooLargeForKafka
from goalstream.streams import producer as producing
from goalstream.streams.connection import Kafka
from goalstream.streams.producer import MAX_BATCH_BYTES, Outgoing, Producer
from goalstream.streams.topics import DEAD_LETTER, create_topics
from tests.integration.test_services import needs_java
from tests.services.broker import Cluster
from tests.services.tiers import RunningKafka

WAIT_SECONDS = 30
PARTITIONS = 4


async def _read(kafka: RunningKafka, topic: str, count: int) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    async with asyncio.timeout(WAIT_SECONDS), consumer:
        return [await consumer.getone() for _ in range(count)]


async def _send(kafka: RunningKafka, records: Sequence[Outgoing]) -> None:
    producer = Producer(Kafka(bootstrap_servers=kafka.bootstrap_servers))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await producer.send(records)
    finally:
        await producer.close()


async def test_a_key_goes_where_kafkas_own_client_puts_it_and_keeps_its_order(
    kafka: RunningKafka, topic_prefix: str
) -> None:
    topic = topic_prefix + GOAL_ACHIEVED_TOPIC
    keys = [str(random.random()).encode() for _ in range(40)]
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as client:
        for key in keys:
            await client.send_and_wait(topic, b"theirs", key=key)
    await _send(kafka, [(topic, key, f"ours {n}".encode(), [("h", b"1")]) for n in range(3) for key in keys])
    found = await _read(kafka, topic, 4 * len(keys))
    theirs = {record.key: record.partition for record in found if record.value == b"theirs"}
    ours = [record for record in found if record.value != b"theirs"]
    assert all(record.partition == theirs[record.key] and record.headers == (("h", b"1"),) for record in ours)
    for key in keys:
        assert [record.value for record in ours if record.key == key] == [b"ours 0", b"ours 1", b"ours 2"]


async def test_every_record_that_kafka_knows_can_be_sent(kafka: RunningKafka, topic_prefix: str) -> None:
    topic = topic_prefix + DEAD_LETTER
    large = b"x" * (2 * MAX_BATCH_BYTES)
    await _send(
        kafka,
        [(topic, None, None, [("h", None)]), (topic, b"", b"", []), (topic, b"k", large, []), (topic, b"k", b"v", [])],
    )
    found = await _read(kafka, topic, 4)
    assert {(record.key, record.value) for record in found} == {(None, None), (b"", b""), (b"k", large), (b"k", b"v")}


@pytest.mark.real_kafka
async def test_a_record_that_is_too_large_for_its_topic_is_told_apart_from_those_that_went_through(
    kafka: RunningKafka, topic_prefix: str
) -> None:
    topic = topic_prefix + GOAL_EXIT_TOPIC
    records: list[Outgoing] = [(topic, str(number).encode(), b"small", []) for number in range(20)]
    records[7] = (topic, b"7", b"." * 2_000_000, [])
    producer = Producer(Kafka(bootstrap_servers=kafka.bootstrap_servers))
    try:
        with pytest.raises(TooLargeForKafka) as raised:
            await producer.send(records)
        assert raised.value.too_large == [7]
        acknowledged = set(raised.value.acknowledged)
        elsewhere = {n for n in range(20) if producing.key_hash(str(n).encode()) % PARTITIONS != _partition_of_7()}
        assert elsewhere <= acknowledged < set(range(20))
        await producer.send([records[n] for n in range(20) if n not in acknowledged | {7}])
    finally:
        await producer.close()
    assert len(await _read(kafka, topic, 19)) == 19


def _partition_of_7() -> int:
    return producing.key_hash(b"7") % PARTITIONS


@needs_java
async def test_a_producer_that_was_given_up_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(producing, "SEND_TIMEOUT_SECONDS", 1)
    with Cluster(heap="256m") as broker:
        there = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await create_topics(there, prefix="", partitions=1, replication_factor=1)
        producer = Producer(there)
        await _send_in_time(producer, b"before")
        running = len(asyncio.all_tasks())
        for hurt in (broker.pause, broker.kill):
            hurt()
            senders = [producer.send([(DEAD_LETTER, None, b"meanwhile", [])]) for _ in range(3)]
            outcomes = await asyncio.gather(*senders, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [BrokerUnavailable] * 3
            broker.resume()
            if broker.is_alive():
                await _send_in_time(producer, b"after")
        async with asyncio.timeout(WAIT_SECONDS):
            while len(asyncio.all_tasks()) > running:  # noqa: ASYNC110 - nobody tells when a task is gone
                await asyncio.sleep(0.1)
        await producer.close()
    gc.collect()
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


async def _send_in_time(producer: Producer, value: bytes) -> None:
    """Patiently: a broker that has just started may take longer than a second."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            with suppress(BrokerUnavailable):
                return await producer.send([(DEAD_LETTER, None, value, [])])


async def test_a_producer_that_kafka_left_without_an_answer_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Made anew every few seconds of an outage, whatever stays would add up."""
    monkeypatch.setattr(producing, "SEND_TIMEOUT_SECONDS", 1)
    with EmbeddedKafka({"topic": PARTITIONS}) as kafka:
        producer = Producer(Kafka(bootstrap_servers=kafka.bootstrap_servers))
        await producer.send([("topic", b"key", b"first", [])])
    with pytest.raises(BrokerUnavailable):
        await producer.send([("topic", b"key", str(number).encode(), []) for number in range(10)])
    # Well before a request's own time is over; a task that is done takes a turn of the loop to be gone.
    own = {asyncio.current_task()}
    if left := asyncio.all_tasks() - own:
        await asyncio.wait(left, timeout=0.5)
    assert asyncio.all_tasks() == own


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_producer_ends_at_once_though_a_broker_takes_no_more_bytes(
    monkeypatch: pytest.MonkeyPatch, *, is_closed: bool
) -> None:
    """Whether its own request has timed out already, and so closed the connection, or ours was first."""

    async def ask_nothing(_: AIOKafkaConnection) -> None:
        """Nobody would answer."""

    monkeypatch.setattr(AIOKafkaConnection, "_do_version_lookup", ask_nothing)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection = AIOKafkaConnection(*listener.getsockname())
        _, writer = await connection.connect()
        writer.write(b"x" * 16 * 1024 * 1024)
        assert writer.transport.get_write_buffer_size() > 0
        if is_closed:
            connection.close()
        producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1")
        producer.client._conns[0, ConnectionGroup.DEFAULT] = connection
        async with asyncio.timeout(5):
            await producing._end(producer)
