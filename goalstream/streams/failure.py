"""The one failure policy: what is away is waited for in place, and everybody can see why."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from goalstream.errors import BrokerUnavailable, Unavailable
from goalstream.observability import metrics
from goalstream.observability.health import Health

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
"""So that work resumes within seconds after a service is back."""

_Result = TypeVar("_Result")


class RetryInPlace:
    """Repeats a step until it succeeds: nothing is acknowledged, dropped, set aside or spun on meanwhile."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, step: str, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """The result of `action`, whose Unavailable is waited out; any other exception passes."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                result = await action()
            except Unavailable as error:
                service = "kafka" if isinstance(error, BrokerUnavailable) else "database"
                self._health.report(service, str(error))
                metrics.RETRIES.labels(step).inc()
                log.warning("waiting_for_service", service=service, step=step, error=str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, nothing secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                if pause > FIRST_PAUSE_SECONDS:
                    self._health.report("kafka", None)
                    self._health.report("database", None)
                return result
