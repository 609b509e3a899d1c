"""Whether the brokers answer."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError
from faust.transport.drivers import aiokafka as driver

from goalstream.config import Settings
from goalstream.errors import BrokerUnavailable
from goalstream.streams.brokers import Brokers
from goalstream.streams.connection import Kafka
from goalstream.worker import Worker
from tests.services.broker import free_ports
from tests.services.tiers import RunningKafka

WAIT_SECONDS = 30


async def test_brokers_that_are_there_answer_again_and_again(kafka: RunningKafka) -> None:
    brokers = Brokers(Kafka(bootstrap_servers=kafka.bootstrap_servers), group_id="of nobody")
    async with asyncio.timeout(WAIT_SECONDS):
        while not await _answer(brokers):  # noqa: ASYNC110 - the first coordinator of a cluster takes a moment
            await asyncio.sleep(0.1)
    await brokers.answer()
    await brokers.close()
    await brokers.answer()
    await brokers.close()


async def _answer(brokers: Brokers) -> bool:
    try:
        await brokers.answer()
    except BrokerUnavailable:
        return False
    return True


async def test_brokers_that_are_not_there_are_unavailable() -> None:
    brokers = Brokers(Kafka(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}"), group_id="of nobody")
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await brokers.answer()
    await brokers.close()


async def test_a_broker_that_hangs_is_said_not_to_answer() -> None:
    never = asyncio.Event()

    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await never.wait()
        writer.close()

    async with await asyncio.start_server(hang, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = await Kafka(bootstrap_servers=address).unavailable(KafkaConnectionError())
        never.set()
    assert str(told) == f"Kafka at {address} does not answer within 1 s"


class ClientOfFencedBrokers(AIOKafkaClient):  # type: ignore[misc]  # aiokafka has no types
    """As when a broker has just come back: what it hears first is that there are no brokers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._update, self._heard = self.cluster.update_metadata, 0
        self.cluster.update_metadata = self._hear_of_brokers

    def _hear_of_brokers(self, metadata: Any) -> None:
        self._heard += 1
        if self._heard > 2:
            self._update(metadata)


async def test_brokers_that_know_of_none_yet_are_unavailable(
    kafka: RunningKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalstream.streams.brokers.AIOKafkaClient", ClientOfFencedBrokers)
    brokers = Brokers(Kafka(bootstrap_servers=kafka.bootstrap_servers), group_id="of nobody")
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await brokers.answer()
    await brokers.close()


async def test_a_worker_that_starts_while_the_brokers_come_back_gets_its_partitions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiokafka.consumer.consumer.AIOKafkaClient", ClientOfFencedBrokers)
    worker = Worker(settings)
    await worker.start()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await worker.wait_until_ready()
    finally:
        await worker.stop()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Faust leaves its consumer thread's loop open
async def test_a_worker_waits_for_brokers_that_go_away_while_it_starts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, failures = driver.Producer.on_start, [KafkaConnectionError("away"), KafkaConnectionError("away")]

    async def on_start(producer: Any) -> None:
        if failures:
            raise failures.pop()
        await start(producer)

    monkeypatch.setattr(driver.Producer, "on_start", on_start)
    worker = Worker(settings)
    await worker.start()
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await worker.wait_until_ready()
        assert failures == []
    finally:
        await worker.stop()
        gc.collect()
