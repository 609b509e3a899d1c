"""Group commit: facts that arrive while others are being settled are settled together, in the next transactions.

A settlement costs a fixed number of round trips, however many facts it has. So the busier a worker is, the less a fact costs,
and an idle worker waits for nobody. Who reads a backlog waits a moment for others. One settlement at a time is faster than
several: they would share the same two cores.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from goalstream.domain.facts import Fact

ENOUGH_FACTS = 150
"""So many, and the fixed costs of a settlement no longer count; PostgreSQL settles 500 enrollments in a transaction."""

MOST_FACTS = 1_000
"""Of several callers; more are settled in the next turn. It bounds what is in memory at once, where nearly everything matches."""

LONGEST_WAIT_SECONDS = 0.05


class Together:
    """Settles the facts of several callers in one go."""

    def __init__(self, settle: Callable[[Sequence[Fact]], Awaitable[None]]) -> None:
        self._settle = settle
        self._turn = asyncio.Lock()
        self._waiting: list[tuple[Sequence[Fact], asyncio.Future[bool]]] = []
        self._is_due = asyncio.Event()

    async def submit(self, facts: Sequence[Fact], *, can_wait: bool = False) -> bool:
        """Returns when the facts are settled; False when a group that they were part of has failed.

        Who can wait does so until there are enough facts, somebody comes who cannot, or 50 ms have passed. Raises what
        settling raised where these facts were alone.
        """
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[bool] = loop.create_future()
        self._waiting.append((facts, outcome))
        if not can_wait or sum(len(waiting) for waiting, _ in self._waiting) >= ENOUGH_FACTS:
            self._is_due.set()
        elif len(self._waiting) == 1:
            loop.call_later(LONGEST_WAIT_SECONDS, self._is_due.set)
        await self._is_due.wait()
        async with self._turn:
            while any(waiting is outcome for _, waiting in self._waiting):
                await self._settle_some()
        return await outcome

    def _take(self) -> list[tuple[Sequence[Fact], asyncio.Future[bool]]]:
        """Who has waited for longest, and as many of the others as may be settled together."""
        count, facts = 1, len(self._waiting[0][0])
        for more, _ in self._waiting[1:]:
            facts += len(more)
            if facts > MOST_FACTS:
                break
            count += 1
        group, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._is_due.clear()
        return group

    async def _settle_some(self) -> None:
        """Settles what has waited for longest. If this is cancelled, everybody else in the group tries alone."""
        group = self._take()
        try:
            await self._settle([fact for facts, _ in group for fact in facts])
        except Exception as error:  # noqa: BLE001 - each caller finds out by itself whose facts failed
            for _, outcome in group:
                if outcome.cancelled():
                    continue
                if len(group) == 1:
                    outcome.set_exception(error)
                else:
                    outcome.set_result(False)
        except asyncio.CancelledError:
            for _, outcome in group:
                if not outcome.cancelled():
                    outcome.set_result(False)
            raise
        else:
            for _, outcome in group:
                if not outcome.cancelled():
                    outcome.set_result(True)
