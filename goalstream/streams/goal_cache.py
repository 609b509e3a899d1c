"""The worker's goal table, and up to which moment it is proved to be complete (the horizon).

A change takes effect `activation_delay` after it was accepted. A refresh whose last portion was read at the database's time T
has seen every change accepted before T, so the table is complete for every moment up to T + delay.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from goalstream.domain.goal_table import GoalTable
from goalstream.observability import metrics
from goalstream.streams.ports import GoalSource

REFRESH_SECONDS = 0.5
"""How often the table is refreshed; well below the activation delay, so that events hardly ever wait for it."""

MAX_WAIT_AHEAD = timedelta(seconds=5)
"""Records up to so far ahead of the database's clock are waited for; a clock further off is wrong."""


class GoalCache:
    """Keeps a goal table up to date, and proves how far it can be trusted."""

    def __init__(
        self, source: GoalSource, *, activation_delay: timedelta, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._source = source
        self._monotonic = monotonic
        self._proved_at = monotonic()
        self._activation_delay = activation_delay
        self._lock = asyncio.Lock()
        self._last_change_id = 0
        self._clock: datetime | None = None
        self._asked = 0
        self._answered = 0
        self.table = GoalTable()

    def age_seconds(self) -> float:
        """How long ago the table was last proved complete; of one that never was, how old it is."""
        return self._monotonic() - self._proved_at

    async def complete_for(self, newest: datetime, moments: Callable[[], Sequence[datetime]]) -> datetime:
        """Waits until the table is complete for all moments but those too far ahead of the database's clock.

        None of the moments lies after the newest; they are asked for only where that does not tell enough. Returns the
        horizon: what lies after it can only be judged by the configuration known now. Raises DatabaseUnavailable: no event
        is ever judged by a stale table.
        """
        while self._clock is None or newest > self._clock + self._activation_delay:
            clock = await self.refresh()
            horizon = clock + self._activation_delay
            waiting = [moment for moment in moments() if horizon < moment <= clock + MAX_WAIT_AHEAD]
            if not waiting:
                return horizon
            await asyncio.sleep(min((max(waiting) - horizon).total_seconds(), REFRESH_SECONDS))
        return self._clock + self._activation_delay

    async def refresh(self) -> datetime:
        """Reads the changes in a query that begins after this call; callers meanwhile share it. Returns its clock."""
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._answered < mine or self._clock is None:
                self._clock = await self._read_changes()
            return self._clock

    async def _read_changes(self) -> datetime:
        """Reads in portions, between which the event loop goes on. Returns the clock of the last, which alone proves anything.

        What a portion brings takes effect after the horizon that was proved before: until then it changes no decision.
        """
        while True:
            serving = self._asked
            changes = await self._source.changes_since(self._last_change_id)
            self.table.add(changes.versions)
            self._last_change_id = changes.last_change_id
            if changes.versions:
                metrics.GOALS.set(len(self.table))
            if changes.is_complete:
                self._proved_at = self._monotonic()
                self._answered = serving
                return changes.clock
            await asyncio.sleep(0)

    async def keep_fresh(self) -> None:
        """Refreshes for ever. Raises DatabaseUnavailable."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_SECONDS)
