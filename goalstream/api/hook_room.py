"""Room for calls of hooks: how many a process takes at once, and how many of them hold a connection to PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from goalstream.api.problems import ApiError
from goalstream.observability.metrics import HOOK_CALLS

MOST_CALLS: Final = 64
"""In flight in a process: each holds its body, and anybody can begin one."""


class HookRoom:
    """What calls of hooks may take of a process. `turn` is held while a call has a connection, as it may wait for Kafka."""

    def __init__(self, pool_size: int) -> None:
        """Of the connections a quarter: the rest of the API needs them while Kafka is away."""
        self._calls = 0
        self.turn = asyncio.Semaphore(max(1, pool_size // 4))

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Counts a call while it lasts. Raises ApiError: 503 where there are too many."""
        if self._calls >= MOST_CALLS:
            HOOK_CALLS.labels("no_room").inc()
            raise ApiError(503, f"{MOST_CALLS} calls of hooks are running here", headers={"Retry-After": "2"})
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
