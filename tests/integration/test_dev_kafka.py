"""The embedded Kafka, used as a client uses any Kafka."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from goalstream.dev.kafka import EmbeddedKafka

DEADLINE_SECONDS = 20


async def test_a_record_comes_back_with_key_headers_and_timestamp() -> None:
    with EmbeddedKafka({"form.submitted": 2}) as kafka:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        consumer = AIOKafkaConsumer(
            "form.submitted",
            bootstrap_servers=kafka.bootstrap_servers,
            group_id="readers",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=5,
        )
        async with asyncio.timeout(DEADLINE_SECONDS):
            await producer.start()
            await consumer.start()
            try:
                await producer.send_and_wait(
                    "form.submitted",
                    b"{}",
                    key=b"contact",
                    partition=1,
                    timestamp_ms=1_700_000_000_000,
                    headers=[("a", b"1")],
                )
                record = await consumer.getone()
                await consumer.commit()
                committed = await consumer.committed(TopicPartition("form.submitted", 1))
            finally:
                await consumer.stop()
                await producer.stop()
    assert (record.key, record.value, record.partition) == (b"contact", b"{}", 1)
    assert (record.timestamp, list(record.headers)) == (1_700_000_000_000, [("a", b"1")])
    assert committed == 1


async def test_a_topic_has_the_partitions_it_was_created_with() -> None:
    with EmbeddedKafka({}) as kafka:
        kafka.create_topic("late.topic", 7)
        producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await producer.start()
            try:
                partitions = await producer.partitions_for("late.topic")
            finally:
                await producer.stop()
    assert partitions == set(range(7))


def test_it_listens_on_loopback_only() -> None:
    with EmbeddedKafka({}) as kafka:
        assert kafka.bootstrap_servers.startswith("127.0.0.1:")


def test_creating_a_topic_twice_changes_nothing_and_a_bad_one_is_refused() -> None:
    with EmbeddedKafka({"twice": 1}) as kafka:
        kafka.create_topic("twice", 1)
        with pytest.raises(ValueError, match="'none' with 0 partitions"):
            kafka.create_topic("none", 0)


def test_closing_twice_is_harmless_and_a_closed_kafka_takes_no_topics() -> None:
    kafka = EmbeddedKafka({})
    kafka.close()
    kafka.start()
    kafka.close()
    kafka.close()
    with pytest.raises(ValueError, match="not running"):
        kafka.create_topic("any", 1)


def test_it_starts_at_once() -> None:
    begin = time.monotonic()
    for _ in range(5):
        with EmbeddedKafka({f"topic-{number}": 2 for number in range(16)}):
            pass
    assert time.monotonic() - begin < 5, "a request that its thread overlooks takes a second each"


@pytest.mark.skipif(sys.platform != "linux", reason="finds threads in /proc")
async def test_a_signal_that_meets_one_of_its_threads_does_not_end_it() -> None:
    libc, others = ctypes.CDLL(None), set(os.listdir("/proc/self/task"))
    before = signal.signal(signal.SIGWINCH, lambda *_: None)  # else it would be ignored anyway
    try:
        with EmbeddedKafka({"t": 1}) as kafka:
            threads = set(os.listdir("/proc/self/task")) - others
            assert len(threads) > 1
            for thread in threads:
                assert libc.tgkill(os.getpid(), int(thread), signal.SIGWINCH) == 0
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers) as producer,
            ):
                for _ in range(20):
                    await producer.send_and_wait("t", b"{}")
                    await asyncio.sleep(0.01)
    finally:
        signal.signal(signal.SIGWINCH, before)
