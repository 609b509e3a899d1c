"""F3: SIGTERM in the middle of a batch, while PostgreSQL is slow, and while it does not come back at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from random import Random
from subprocess import TimeoutExpired

from tests.faults import acknowledged
from tests.faults.f2_killed_at_failpoints import Delivery, dealt, portions
from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.forked_workers import ForkedWorker
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, NotQuiet, Stage, stage
from tests.faults.workers import WorkerProcess
from tests.integration.builders import put_goal_versions

ROUNDS = {Size.CI: 1, Size.FULL: 10}
"""In each of them one worker is stopped while PostgreSQL is slow, and the other while it is stuck."""

FACTS = {Size.CI: 6_000, Size.FULL: 60_000}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 600}
STOP_SECONDS = {Size.CI: 18, Size.FULL: 15}
WORKERS = 2
SLOW_SECONDS = (0.3, 3.0)
UNTIL_MID_BATCH_SECONDS = 30
PORTION_SECONDS = 0.2

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
        told = histories(seed, FACTS[size], now=datetime.now(UTC))
        await put_goal_versions(here.database, told.goal_versions)
        untold = portions(dealt(chance.sample(told.records, len(told.records))))
        workers = [here.new_worker(ForkedWorker) for _ in range(WORKERS)]
        for number in range(ROUNDS[size]):
            here.show("stopping", number, ROUNDS[size])
            for worker in workers:
                worker.start()
            await here.until_consuming()
            for fault, worker in zip((slow, stuck), chance.sample(workers, WORKERS), strict=True):
                async with fault(here, chance.choice(WRITTEN), chance):
                    await _until_mid_batch(here, untold)
                    stopped.append(await _stop(here, worker, outcome.findings, STOP_SECONDS[size]))
                outcome.findings.add(await acknowledged.look(here, told.goal_versions))
        for worker in workers:
            worker.start()
        await here.until_consuming()
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(told.goal_versions))
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
    outcome.figures = {
        "stops": len(stopped),
        "slowest_stop_seconds": max(stopped),
        "rows": len(seen.rows),
        "messages": len(seen.messages),
    }
    return outcome


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


async def _until_mid_batch(here: Stage, untold: Iterator[Sequence[Delivery]]) -> None:
    """Tells facts until every worker waits for PostgreSQL. Each settles one batch at a time, so the connections are counted."""
    alive, deadline = sum(one.exit_code is None for one in here.workers), time.monotonic() + UNTIL_MID_BATCH_SECONDS
    while time.monotonic() < deadline:
        async with here.database.connection() as connection:
            if await connection.fetchval(_WAITING) >= alive:
                return
        await here.tell(next(untold, ()))
        await asyncio.sleep(PORTION_SECONDS)
    raise NotQuiet(f"not all of {alive} workers were in the middle of a batch within {UNTIL_MID_BATCH_SECONDS} s")


async def _stop(here: Stage, worker: WorkerProcess, findings: Findings, most_seconds: float) -> float:
    """How long a worker needs to end; it must say that it ended well."""
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


ROW = Row(fault="F3", title="SIGTERM in the middle of a batch while PostgreSQL is slow or stuck", run=run)
