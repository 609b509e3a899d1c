"""Housekeeping: statistics are brought up to date, and one worker at a time deletes what no fact can change any more, and what
nobody may keep for longer.

A match is judged by facts whose records are at most the allowed lateness L later, and may have been recorded L after it
occurred; so 2 L after its record everything that bears on it is in Kafka. Whether all that has been settled too is asked of
the group's progress: no decision ever depends on when this ran.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from goalstream.errors import Unavailable
from goalstream.observability import metrics
from goalstream.streams.ports import Cleaner, Progress, RollUp

log = structlog.get_logger()


async def every_now_and_then(job: Callable[[], Awaitable[object]], *, every: timedelta, failure: str) -> None:
    """Does a job after a while, and again, for ever; `failure` is what the log calls it when that did not work.

    Whatever leaves it undone, deciding goes on, and it is done the next time.
    """
    while True:
        await asyncio.sleep(every.total_seconds())
        try:
            await job()
        except Unavailable as error:
            log.warning(failure, error=str(error))
        except Exception:
            log.exception(failure)


class Housekeeper:
    """Cleans up."""

    def __init__(
        self,
        cleaner: Cleaner,
        progress: Progress,
        *,
        allowed_lateness: timedelta,
        retention: timedelta,
    ) -> None:
        self._cleaner = cleaner
        self._progress = progress
        self._allowed_lateness = allowed_lateness
        self._retention = retention

    async def clean(self) -> None:
        """Cleans once, unless another worker does. Raises Unavailable."""
        async with self._cleaner.turn() as clock:
            if clock is None:
                return
            await self._progress.catch_up()
            removed = {
                "matches": await self._cleaner.delete_matches(clock - 2 * self._allowed_lateness),
                "enrollments": await self._cleaner.remove_enrollments(clock - self._retention),
                "audit": await self._cleaner.delete_audit(clock - self._retention),
                "answers": await self._cleaner.delete_answers(clock),
                "hook_calls": await self._cleaner.delete_calls(clock),
                "deliveries": await self._cleaner.delete_deliveries(clock),
                "attempts": await self._cleaner.delete_attempts(clock),
            }
        for what, count in removed.items():
            metrics.REMOVED.labels(what).inc(count)
        if any(removed.values()):
            log.info("cleaned", **removed)


class Statistics:
    """Brings the statistics of large workflows up to date, and knows how old they are."""

    def __init__(self, rollup: RollUp) -> None:
        self._rollup = rollup
        self._as_of: datetime | None = None

    async def refresh(self) -> None:
        """Rolls up once, unless another worker does or just has. Raises Unavailable."""
        try:
            with metrics.ROLL_UP_SECONDS.time():
                await self._rollup.refresh()
        finally:
            self._as_of = await self._rollup.as_of()

    def age_seconds(self) -> float:
        """How old the oldest are, by what was known after the last refresh: they get older while it fails. 0 without any."""
        return 0.0 if self._as_of is None else metrics.age_seconds(self._as_of)
