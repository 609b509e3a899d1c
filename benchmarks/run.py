"""A program that reads all that is there: how far it is, what it took, and kill -9 on the way."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from rich.progress import Progress

from benchmarks.services import Observer
from benchmarks.worker import MachineLoad, WorkerProcess
from benchmarks.workload import console
from goalstream.storage.pool import Database

POLL_SECONDS = 0.1


class Counts(NamedTuple):
    """How far a program is, by its database: rows written, and what it still has to do after the last commit."""

    rows: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a program took to read everything that was there when it started."""

    cpu_seconds: float
    seconds: float
    max_rss_mb: float
    kills: int
    machine_busy_share: float


async def run_to_the_end(
    worker: WorkerProcess,
    observer: Observer,
    count: Callable[[], Awaitable[Counts]],
    *,
    rows: int,
    kills: int,
    seed: int,
    give_up_seconds: float,
) -> Run:
    """Lets it read everything and write so many rows, killing it at random places on the way. Exits if it takes too long."""
    chance = random.Random(seed)
    ends, killed = await observer.log_ends(), 0
    records = sum(ends.values())
    places = sorted(chance.uniform(0.05, 0.95) * records for _ in range(kills))
    deadline = time.monotonic() + give_up_seconds
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("deciding", total=records)
        await wait_until_consuming(worker, observer)
        began, load = time.monotonic(), MachineLoad()
        while True:
            cpu_seconds = worker.sample()
            committed = await observer.committed()
            done = sum(committed.values())
            progress.update(task, completed=done)
            is_read = committed == ends
            # Counting rows costs PostgreSQL more than recording a few of them.
            counts = await count() if places or is_read else Counts(0, 0)
            # Commits come now and then; rows show between them how far the program is.
            reached = max(done, counts.rows / rows * records if rows else 0)
            if places and reached >= places[0]:
                places.pop(0)
                await asyncio.sleep(chance.uniform(0, 2 * POLL_SECONDS))
                worker.kill_and_restart()
                killed += 1
            elif is_read and not counts.left:
                break
            elif time.monotonic() > deadline:
                raise SystemExit(f"not done within {give_up_seconds:.0f} s: {done:,} of {records:,} committed")
            await asyncio.sleep(POLL_SECONDS)
        return Run(
            cpu_seconds=cpu_seconds,
            seconds=time.monotonic() - began,
            max_rss_mb=worker.max_rss_bytes / 1e6,
            kills=killed,
            machine_busy_share=load.busy_share(),
        )


async def wait_until_consuming(worker: WorkerProcess, observer: Observer) -> None:
    """Until its group has settled. Raises TimeoutError; exits if the worker has ended instead."""
    try:
        await observer.wait_until_consuming()
    except TimeoutError:
        worker.sample()
        raise


async def goalstream_counts(database: Database) -> Counts:
    """Achievements, and messages in the outbox."""
    async with database.connection() as connection:
        row = await connection.fetchrow("select (select count(*) from achievements), (select count(*) from outbox)")
    assert row is not None
    return Counts(row[0], row[1])
