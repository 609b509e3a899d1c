"""Agents: one for each topic, all the same loop. Take a batch, process it, acknowledge it.

A batch is read and matched as soon as it comes; a few may then be settled at once, so that one settlement serves several. They
are finished and acknowledged in their order.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog

from goalstream.errors import OperatorError
from goalstream.observability import metrics
from goalstream.streams.in_hand import InHand
from goalstream.streams.processor import Processor

log = structlog.get_logger()

BATCHES_IN_FLIGHT = 8
"""Of a topic, after matching; what is in them stays in memory until it is settled."""


class _Flight(NamedTuple):
    """A batch that is being settled."""

    event: Any
    hand: InHand
    settling: asyncio.Task[None]


def agent(topic: str, processor: Processor, on_fatal: Callable[[Exception], None]) -> Callable[[Any], Awaitable[None]]:
    """The agent of one topic. Nothing ever escapes it: Faust would acknowledge what was not done.

    What must stop the worker goes to `on_fatal`; the agent then stands still, with nothing more acknowledged.
    """

    async def consume(stream: Any) -> None:
        stream.enable_acks = False
        try:
            async with asyncio.TaskGroup() as tasks:
                flights: asyncio.Queue[_Flight | None] = asyncio.Queue(BATCHES_IN_FLIGHT - 1)
                tasks.create_task(_finish(flights, processor))
                async for event in stream.events():
                    hand = await processor.match(topic, event.value)
                    await flights.put(_Flight(event, hand, tasks.create_task(processor.settle(hand))))
                await flights.put(None)
        except ExceptionGroup as group:
            error = group.exceptions[0]
            if not isinstance(error, OperatorError):
                log.error("agent_failed", topic=topic, exc_info=error)
            on_fatal(error)
            await asyncio.Event().wait()

    return consume


async def _finish(flights: asyncio.Queue[_Flight | None], processor: Processor) -> None:
    """Finishes and acknowledges batches in their order."""
    while (flight := await flights.get()) is not None:
        await flight.settling
        await processor.finish(flight.hand)
        flight.event.ack()
        metrics.BATCH_SECONDS.observe(time.monotonic() - flight.hand.began)
