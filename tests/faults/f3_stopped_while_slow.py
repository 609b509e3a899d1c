"""F3: SIGTERM in the middle of a batch, while PostgreSQL is slow, and while it does not come back at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from subprocess import TimeoutExpired

from tests.faults import acknowledged
from tests.faults.forked_workers import ForkedWorker
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, NotQuiet, Stage, stage
from tests.faults.stream import Stream, prepare, telling
from tests.faults.workers import WorkerProcess

ROUNDS = {Size.CI: 1, Size.FULL: 10}
"""In each of them one worker is stopped while PostgreSQL is slow, and the other while it is stuck."""

FACTS = {Size.CI: 3_000, Size.FULL: 40_000}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 600}
STOP_SECONDS = {Size.CI: 18, Size.FULL: 15}
WORKERS = 2
ROUND_SECONDS = 8
SLOW_SECONDS = (0.3, 3.0)
UNTIL_MID_BATCH_SECONDS = 30
POLL_SECONDS = 0.05

WRITTEN = ("enrollment_starts", "matches", "enrollments", "achievements")
"""Tables that are written while a batch is stored or settled."""

_SLOW = """
create function fall_asleep() returns trigger language plpgsql as $$ begin perform pg_sleep({seconds}); return null; end $$;
create trigger slow before insert or update on {table} for each statement execute function fall_asleep()
"""

_WAITING = """
select count(*) from pg_stat_activity
 where application_name = 'goalstream' and (wait_event = 'PgSleep' or wait_event_type = 'Lock')
"""

Fault = Callable[[Stage, str, Random], AbstractAsyncContextManager[None]]


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    stopped: list[float] = []
    async with stage(ground, "stopped") as here:
        stream = await prepare(here, FACTS[size], seed)
        workers = [here.new_worker(ForkedWorker) for _ in range(WORKERS)]
        async with telling(stream, ROUNDS[size] * ROUND_SECONDS):
            for number in range(ROUNDS[size]):
                here.show("stopping", number, ROUNDS[size])
                for worker in workers:
                    worker.start()
                await here.until_consuming()
                for fault, worker in zip((slow, stuck), chance.sample(workers, WORKERS), strict=True):
                    async with fault(here, chance.choice(WRITTEN), chance):
                        stopped.append(await _stop_mid_batch(here, worker, outcome.findings, STOP_SECONDS[size]))
                    outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
            for worker in workers:
                worker.start()
        await _judge(outcome, here, stream, QUIET_SECONDS[size])
    outcome.figures |= {"stops": len(stopped), "slowest_stop_seconds": max(stopped)}
    return outcome


async def _judge(outcome: Outcome, here: Stage, stream: Stream, quiet_seconds: float) -> None:
    await here.until_consuming()
    await here.quiesce(quiet_seconds)
    outcome.findings.add(await here.judge(stream.told.goal_versions))
    outcome.findings.add(await here.stop_workers())
    seen = await here.evidence()
    outcome.figures = {"facts": len(stream.told.records), "rows": len(seen.rows), "messages": len(seen.messages)}


@asynccontextmanager
async def slow(here: Stage, table: str, chance: Random) -> AsyncIterator[None]:
    """Every statement that writes into a table takes a while."""
    seconds = round(chance.uniform(*SLOW_SECONDS), 2)
    async with here.database.connection() as connection:
        await connection.execute(_SLOW.format(seconds=seconds, table=table))
    here.note("slow", table=table, each_statement_seconds=seconds)
    try:
        yield
    finally:
        async with here.database.connection() as connection:
            await connection.execute("drop function fall_asleep cascade")


@asynccontextmanager
async def stuck(here: Stage, table: str, _: Random) -> AsyncIterator[None]:
    """Nobody can write into a table."""
    async with here.database.transaction() as connection:
        await connection.execute(f"lock table {table} in exclusive mode")
        here.note("stuck", table=table)
        yield


async def _stop_mid_batch(here: Stage, worker: WorkerProcess, findings: Findings, most_seconds: float) -> float:
    """How long a worker needs to end once every living worker waits for PostgreSQL; it must say that it ended well."""
    await _until_mid_batch(here)
    began = time.monotonic()
    try:
        code = await asyncio.to_thread(worker.stop)
    except TimeoutExpired:
        worker.close()
        code = None
    seconds = time.monotonic() - began
    here.note("stopped", worker=worker.name, exit_code=code, took_seconds=round(seconds, 2))
    if code != 0 or seconds > most_seconds:
        findings.limits_missed.append(f"{worker.name} ended with exit code {code} after {seconds:.1f} s")
    return seconds


async def _until_mid_batch(here: Stage) -> None:
    """Each worker settles one batch at a time, so that as many waiting connections mean that all are in the middle of one."""
    alive, deadline = sum(one.exit_code is None for one in here.workers), time.monotonic() + UNTIL_MID_BATCH_SECONDS
    while time.monotonic() < deadline:
        async with here.database.connection() as connection:
            if await connection.fetchval(_WAITING) >= alive:
                return
        await asyncio.sleep(POLL_SECONDS)
    raise NotQuiet(f"not all of {alive} workers were in the middle of a batch within {UNTIL_MID_BATCH_SECONDS} s")


ROW = Row(fault="F3", title="SIGTERM in the middle of a batch while PostgreSQL is slow or stuck", run=run)
