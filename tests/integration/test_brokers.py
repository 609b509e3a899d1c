"""Whether the brokers answer."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.client import AIOKafkaClient

from goalstream.errors import BrokerUnavailable
from goalstream.streams.brokers import Brokers
from tests.services.broker import free_ports
from tests.services.tiers import RunningKafka

WAIT_SECONDS = 30


async def test_brokers_that_are_there_answer_again_and_again(kafka: RunningKafka) -> None:
    brokers = Brokers(kafka.bootstrap_servers, group_id="of nobody")
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
    brokers = Brokers(f"127.0.0.1:{free_ports(1)[0]}", group_id="of nobody")
    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await brokers.answer()
    await brokers.close()


async def test_a_broker_that_knows_of_no_brokers_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that has just started tells: it takes connections before its cluster counts it as one of its brokers."""

    async def nothing_found(_: AIOKafkaClient) -> None:
        """An answer without brokers."""

    monkeypatch.setattr(AIOKafkaClient, "bootstrap", nothing_found)
    brokers = Brokers("127.0.0.1:1", group_id="of nobody")
    with pytest.raises(BrokerUnavailable, match="no broker is known"):
        await brokers.answer()
