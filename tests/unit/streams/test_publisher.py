"""A message leaves the outbox only when Kafka has acknowledged it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from goalstream.errors import BrokerUnavailable, DatabaseUnavailable, TooLargeForKafka
from goalstream.streams.publisher import Publisher, cloudevent_headers
from tests.unit.streams.fakes import FakeOutbox, FakeProducer, message, until
from tests.unit.streams.records import ACCOUNT, CONTACT


@asynccontextmanager
async def publishing(publisher: Publisher) -> AsyncIterator[None]:
    task = asyncio.create_task(publisher.publish_waiting())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_is_handed_over_is_sent_and_then_deleted() -> None:
    producer, outbox = FakeProducer(), FakeOutbox([message(1), message(2), message(3)])
    publisher = Publisher(producer, outbox, topic_prefix="pre.")
    async with publishing(publisher):
        await publisher.hand_over([message(1), message(2)])
        await publisher.drain()
    assert [topic for topic, *_ in producer.sent] == ["pre.workflow.goal.achieved"] * 2
    assert outbox.waiting == [message(3)]


async def test_what_kafka_does_not_acknowledge_stays_for_the_sweepers() -> None:
    producer, outbox = FakeProducer(), FakeOutbox([message(1)])
    producer.failures = [BrokerUnavailable("away")]
    publisher = Publisher(producer, outbox, topic_prefix="")
    async with publishing(publisher):
        await publisher.hand_over([message(1)])
        await publisher.drain()
    assert outbox.waiting == [message(1)]
    await publisher.sweep()
    assert outbox.waiting == []
    assert len(producer.sent) == 1


async def test_a_message_that_cannot_be_deleted_is_sent_again_rather_than_lost() -> None:
    producer, outbox = FakeProducer(), FakeOutbox([message(1)], failures=[DatabaseUnavailable("away")])
    publisher = Publisher(producer, outbox, topic_prefix="")
    async with publishing(publisher):
        await publisher.hand_over([message(1)])
        await publisher.drain()
    await publisher.sweep()
    assert len(producer.sent) == 2
    assert producer.sent[0] == producer.sent[1]


@pytest.mark.parametrize("way", ["live", "sweeper"])
async def test_a_message_that_is_too_large_holds_up_no_other(way: str) -> None:
    """The third one, of which nobody knows whether it went through, stays as it is."""
    producer, outbox = FakeProducer(), FakeOutbox([message(1), message(2), message(3)])
    producer.failures = [TooLargeForKafka(too_large=[1], acknowledged=[0])]
    publisher = Publisher(producer, outbox, topic_prefix="")
    if way == "live":
        async with publishing(publisher):
            await publisher.hand_over([message(1), message(2), message(3)])
            await publisher.drain()
    else:
        await publisher.sweep()
    assert outbox.waiting == [message(2), message(3)]
    assert outbox.postponed == ([message(2)] if way == "sweeper" else [])


async def test_a_sweep_empties_the_outbox_in_portions() -> None:
    producer, outbox = FakeProducer(), FakeOutbox([message(number) for number in range(2_500)])
    await Publisher(producer, outbox, topic_prefix="").sweep()
    assert len(producer.sent) == 2_500
    assert outbox.waiting == []


async def test_sweeping_goes_on_after_a_service_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalstream.streams.publisher.SWEEP_SECONDS", 0)
    producer, outbox = FakeProducer(), FakeOutbox([message(1)])
    producer.failures = [BrokerUnavailable("away")]
    sweeping = asyncio.create_task(Publisher(producer, outbox, topic_prefix="").sweep_for_ever())
    await until(lambda: outbox.waiting == [])
    sweeping.cancel()
    await asyncio.gather(sweeping, return_exceptions=True)


async def test_the_metrics_tell_how_full_the_outbox_is_and_nothing_where_it_cannot_be_asked() -> None:
    outbox = FakeOutbox([message(1), message(2)])
    publisher = Publisher(FakeProducer(), outbox, topic_prefix="")
    await publisher.measure()
    assert measured() == {"goalstream_outbox_messages": 2, "goalstream_outbox_age_seconds": 12.5}
    outbox.failures = [DatabaseUnavailable("away")]
    await publisher.measure()
    assert all(math.isnan(value) for value in measured().values())


def measured() -> dict[str, float]:
    names = ("goalstream_outbox_messages", "goalstream_outbox_age_seconds")
    return {name: found for name in names if (found := REGISTRY.get_sample_value(name)) is not None}


def test_a_message_is_a_cloudevent_in_binary_mode() -> None:
    assert dict(cloudevent_headers(message(7), None)) == {
        "ce_specversion": b"1.0",
        "ce_id": b"00000000-0000-4000-8000-000000000007",
        "ce_source": b"goalstream",
        "ce_type": b"workflow.goal.achieved",
        "ce_subject": CONTACT.encode(),
        "ce_time": b"2026-11-23T12:00:00Z",
        "ce_accountid": ACCOUNT.encode(),
        "content-type": b"application/json",
    }


def test_a_trace_is_carried_as_a_plain_header() -> None:
    assert ("traceparent", b"00-1-2-01") in cloudevent_headers(message(7), "00-1-2-01")
