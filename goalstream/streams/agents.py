"""Agents: one for each topic, all the same loop. Take a batch, process it, acknowledge it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from goalstream.errors import OperatorError
from goalstream.observability import metrics
from goalstream.streams.processor import Processor

log = structlog.get_logger()


def agent(topic: str, processor: Processor, on_fatal: Callable[[Exception], None]) -> Callable[[Any], Awaitable[None]]:
    """The agent of one topic. Nothing ever escapes it: Faust would acknowledge what was not done.

    What must stop the worker goes to `on_fatal`; the agent then stands still, with nothing more acknowledged.
    """

    async def consume(stream: Any) -> None:
        stream.enable_acks = False
        async for event in stream.events():
            began = time.monotonic()
            try:
                await processor.process(topic, event.value)
            except Exception as error:
                if not isinstance(error, OperatorError):
                    log.exception("agent_failed", topic=topic)
                on_fatal(error)
                await asyncio.Event().wait()
            event.ack()
            metrics.BATCH_SECONDS.observe(time.monotonic() - began)

    return consume
