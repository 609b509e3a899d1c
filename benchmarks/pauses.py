"""The longest pause of an event loop: for how long nothing else could have run."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.001


class LongestPause:
    """Watches the running event loop during a block.

    Counted is the CPU that the loop's thread used between two turns of a task that wakes every millisecond: what the
    collector, the kernel and all callbacks took, and not the time for which other programs had the processor. It is too
    long by up to that millisecond.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.sleep(2 * LOOK_SECONDS)
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(LOOK_SECONDS)
            self.seconds = max(self.seconds, time.thread_time() - before)
