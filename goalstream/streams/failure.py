"""The one failure policy: what is away is waited for in place, and everybody can see why."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from goalstream.errors import BrokerUnavailable, Unavailable
from goalstream.observability import metrics
from goalstream.observability.health import Health
from goalstream.observability.traces import UNTRACED, Traces

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
"""So that work resumes within seconds after a service is back."""

SERVICES = ("kafka", "database")

_Result = TypeVar("_Result")


class RetryInPlace:
    """Repeats a step until it succeeds: nothing is acknowledged, dropped, set aside or spun on meanwhile."""

    def __init__(self, health: Health, traces: Traces = UNTRACED) -> None:
        self._health = health
        self._traces = traces
        self._waiting: dict[object, tuple[str, str]] = {}

    async def __call__(self, step: str, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """The result of `action`, whose Unavailable is waited out; any other exception passes."""
        pause, began = FIRST_PAUSE_SECONDS, time.monotonic()
        caller = object()
        try:
            while True:
                try:
                    with self._traces.step(step):
                        result = await action()
                except Unavailable as error:
                    service = "kafka" if isinstance(error, BrokerUnavailable) else "database"
                    self._report(caller, (service, str(error)))
                    metrics.RETRIES.labels(step).inc()
                    self._traces.waits(service)
                    log.warning("waiting_for_service", service=service, step=step, error=str(error))
                else:
                    if step in metrics.STEPS:
                        metrics.STEP_SECONDS.labels(step).observe(time.monotonic() - began)
                    return result
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, nothing secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        finally:
            self._report(caller, None)

    def _report(self, caller: object, trouble: tuple[str, str] | None) -> None:
        """A service is well when nobody waits for it any more: reading may work where writing does not."""
        if trouble is not None:
            self._waiting[caller] = trouble
        elif self._waiting.pop(caller, None) is None:
            return
        for service in SERVICES:
            self._health.report(service, next((why for name, why in self._waiting.values() if name == service), None))
