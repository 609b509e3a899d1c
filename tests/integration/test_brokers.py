"""Whether the brokers answer."""

from __future__ import annotations

import asyncio

import pytest

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
