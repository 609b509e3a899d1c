"""Consumers of aiokafka: started, and stopped whatever they are doing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer


@asynccontextmanager
async def running(consumer: AIOKafkaConsumer) -> AsyncIterator[AIOKafkaConsumer]:
    """Between its start and its end. Raises what Kafka says."""
    try:
        await consumer.start()
        # aiokafka 0.14: where its own task has not begun to run, stop() raises CancelledError.
        await asyncio.sleep(0)
        yield consumer
    finally:
        await stop(consumer)


async def stop(consumer: AIOKafkaConsumer) -> None:
    """Stops a consumer, also while brokers are away.

    aiokafka 0.14 cancels the fetches that are on their way, and takes the end of one that was about to be tried again for a
    cancellation of ours; by then it has left its group, and not closed its connections.
    """
    stopping = asyncio.create_task(consumer.stop())
    try:
        await asyncio.wait([stopping])
    finally:
        stopping.cancel()
    if stopping.cancelled():
        await consumer._client.close()
    else:
        stopping.result()
