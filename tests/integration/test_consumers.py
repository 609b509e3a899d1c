"""Consumers whose broker goes away while they read: they stop as any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from goalstream.dev.kafka import EmbeddedKafka
from goalstream.streams import consumers
from goalstream.streams.transport import BatchConsumerThread

WAIT_SECONDS = 30


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)


def fetches(consumer: AIOKafkaConsumer) -> list[asyncio.Task[bool]]:
    """Those that are on their way."""
    return list(consumer._fetcher._pending_tasks)


def is_about_to_try_again(fetch: asyncio.Task[bool]) -> bool:
    coroutine: Any = fetch.get_coro()
    return getattr(coroutine.cr_await, "__name__", "") == "sleep"


async def test_a_consumer_stops_while_its_broker_is_away_and_closes_its_connections() -> None:
    with EmbeddedKafka({"t": 1}) as kafka:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, retry_backoff_ms=60_000)
        async with consumers.running(consumer):
            consumer.assign([TopicPartition("t", 0)])
            await wait_until(lambda: bool(fetches(consumer)))
            kafka.close()
            await wait_until(lambda: any(map(is_about_to_try_again, fetches(consumer))))
    assert consumer._client._sync_task is None


async def test_whoever_stops_a_consumer_can_be_cancelled() -> None:
    never = asyncio.Event()
    consumer: Any = SimpleNamespace(stop=never.wait)
    stopping = asyncio.create_task(consumers.stop(consumer))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


class StuckThread(BatchConsumerThread):
    """One that waits for an answer which never comes when it is to end."""

    def __post_init__(self) -> None:
        """It has no settings."""

    async def on_start(self) -> None:
        """It has no consumer."""

    async def on_thread_stop(self) -> None:
        await asyncio.Event().wait()


async def test_a_thread_that_is_abandoned_ends_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(threading, "excepthook", complaints.append)
    consumer: Any = SimpleNamespace(transport=SimpleNamespace(app=SimpleNamespace()))
    thread = StuckThread(consumer)
    await thread.start()
    stopping = asyncio.create_task(thread.stop())
    await wait_until(thread._stopped.is_set)
    await asyncio.sleep(0.05)
    assert not stopping.done()
    thread.abandon()
    async with asyncio.timeout(WAIT_SECONDS):
        await stopping
    assert thread._thread is not None
    assert not thread._thread.is_alive()
    thread.abandon()
    assert complaints == []
