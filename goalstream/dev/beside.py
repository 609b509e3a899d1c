"""Tasks that run beside each other for as long as a run lasts, and are ended within seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from goalstream.errors import OperatorError

STOP_SECONDS = 2.0
"""For each part; what it does not finish by then is cut, since nothing here is to last."""

_Result = TypeVar("_Result")


async def unless_one_fails(tasks: list[asyncio.Task[None]], work: Coroutine[Any, Any, _Result]) -> _Result:
    """Does the work, unless one of the tasks that should go on for ever ends: then raises why."""
    mine = asyncio.create_task(work)
    try:
        done, _ = await asyncio.wait([mine, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {mine}:
            await task
            raise OperatorError("a part of `goalstream dev` ended by itself: start it again")
        return await mine
    finally:
        await cancel(mine)


async def stop(stop: Callable[[], Awaitable[None]]) -> None:
    """Stops a part, for a while; whatever it says then is of no interest any more."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(stop(), STOP_SECONDS)


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=STOP_SECONDS)
    if task.done() and not task.cancelled():
        task.exception()
