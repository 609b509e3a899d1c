"""What workers are like while a service is away: ready or why not, live, memory, CPU, how much they say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

import httpx
import psutil

from tests.faults.workers import WorkerProcess

LOOK_SECONDS = 0.2
ANSWER_SECONDS = 5
MEBIBYTE = 1 << 20


class Look(NamedTuple):
    """A worker at one moment; `reasons` is empty when it is ready, and None where /readyz gave no answer."""

    at: float
    reasons: Mapping[str, str] | None
    is_live: bool
    cpu_seconds: float
    resident_bytes: int
    lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A worker over some time."""

    seconds: float
    not_ready_after_seconds: float | None
    """From the beginning to the first time that /readyz said no; None: it never did."""

    reasons: Sequence[str]
    """Everything that /readyz gave as a reason."""

    cpu_share: float
    """Of one core."""

    growth_bytes: int
    """The most memory that it had, less what it had at the beginning."""

    lines: int
    """That it wrote into its log."""

    is_live: bool
    """Whether /livez always said so."""


class Watch:
    """Looks at one worker all the time. Made by `watching`."""

    def __init__(self, worker: WorkerProcess) -> None:
        self.worker = worker
        self._looks: list[Look] = []

    async def look_for_ever(self) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.worker.probe_port}", trust_env=False) as client:
            while True:
                self._looks.append(await self._look(client))
                await asyncio.sleep(LOOK_SECONDS)

    async def until_ready(self, seconds: float) -> bool:
        """Whether /readyz says yes within so many seconds."""
        deadline = time.monotonic() + seconds
        while not (self._looks and self._looks[-1].reasons == {}):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def period(self, since: float) -> Period:
        """From a moment of the monotonic clock until now."""
        before = next((look for look in reversed(self._looks) if look.at <= since), self._looks[0])
        looks = [look for look in self._looks if look.at > since] or [before]
        told = [look for look in looks if look.reasons]
        reasons = {f"{part}: {said}" for look in told for part, said in (look.reasons or {}).items()}
        seconds = looks[-1].at - since
        return Period(
            seconds=seconds,
            not_ready_after_seconds=told[0].at - since if told else None,
            reasons=sorted(reasons),
            cpu_share=(looks[-1].cpu_seconds - before.cpu_seconds) / max(seconds, LOOK_SECONDS),
            growth_bytes=max(look.resident_bytes for look in looks) - before.resident_bytes,
            lines=looks[-1].lines - before.lines,
            is_live=all(look.is_live for look in looks),
        )

    async def _look(self, client: httpx.AsyncClient) -> Look:
        reasons = None
        try:
            answer = await client.get("/readyz", timeout=ANSWER_SECONDS)
            reasons = answer.json().get("reasons", {})
            is_live = (await client.get("/livez", timeout=ANSWER_SECONDS)).status_code == 200
        except (httpx.HTTPError, ValueError):
            is_live = False
        process = psutil.Process(self.worker.pid)
        times = process.cpu_times()
        return Look(
            at=time.monotonic(),
            reasons=reasons,
            is_live=is_live,
            cpu_seconds=times.user + times.system,
            resident_bytes=process.memory_info().rss,
            lines=self.worker.log.read_bytes().count(b"\n"),
        )


@asynccontextmanager
async def watching(workers: Sequence[WorkerProcess]) -> AsyncIterator[Sequence[Watch]]:
    """Watches workers, which must be alive and have probes, from the beginning to the end of the block."""
    watches = [Watch(worker) for worker in workers]
    tasks = [asyncio.create_task(watch.look_for_ever()) for watch in watches]
    try:
        for watch in watches:
            await watch.until_ready(ANSWER_SECONDS)
        yield watches
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
