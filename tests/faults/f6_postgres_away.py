"""F6: PostgreSQL is stopped at once and started again, hangs, and ends its clients' sessions, under a stream of facts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from random import Random

import asyncpg

from tests.faults import acknowledged
from tests.faults.backlog import backlog
from tests.faults.outages import Outages
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, stage
from tests.faults.stream import prepare
from tests.faults.watch import watching
from tests.services.postgres_server import PostgresServer

FACTS = {Size.CI: 3_000, Size.FULL: 100_000}
STOPS = {Size.CI: 1, Size.FULL: 10}
STOPPED_SECONDS = 3, 8
HANGS = {Size.CI: 1, Size.FULL: 5}
HANGING_SECONDS = {Size.CI: 3, Size.FULL: 30}
TERMINATIONS = {Size.CI: 10, Size.FULL: 200}
BETWEEN_TERMINATIONS_SECONDS = 0.1
BACKLOG = {Size.CI: 20_000, Size.FULL: 1_000_000}
"""Events that come while it is away."""

QUIET_SECONDS = {Size.CI: 120, Size.FULL: 900}
WORKERS = 2
RESUME_SECONDS = 5

_TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
 where datname = $1 and pid <> pg_backend_pid() and application_name = 'goalstream' order by random() limit 1
"""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    server = await asyncio.to_thread(ground.breakable.postgres)
    async with stage(replace(ground, postgres=server.url), "postgres-away") as here:
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(WORKERS, probes=True)
        names = ["stop"] * STOPS[size] + ["hang"] * HANGS[size] + ["terminations"]
        async with watching(here.workers) as watches:
            outages = Outages(here, size, watches, outcome, stream.parts(len(names)), within=RESUME_SECONDS)
            for name in chance.sample(names, len(names)):
                match name:
                    case "stop":
                        fault = partial(_stop, server, chance.uniform(*STOPPED_SECONDS))
                    case "hang":
                        fault = partial(_hang, server, HANGING_SECONDS[size])
                    case _:
                        fault = partial(_terminate, server, here.database_url, TERMINATIONS[size])
                must_notice = name != "terminations"
                await outages.happen(name, fault, after=chance.uniform(0.2, 2), must_notice=must_notice)
                outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    outcome.figures |= {"facts": FACTS[size], "stops": STOPS[size], "hangs": HANGS[size]}
    outcome.figures["terminations"] = TERMINATIONS[size]
    worked_off = await backlog(ground, BACKLOG[size])
    outcome.findings.add(worked_off.findings)
    outcome.figures |= worked_off.figures
    return outcome


async def _stop(server: PostgresServer, seconds: float) -> None:
    await asyncio.to_thread(server.stop_at_once)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.revive)


async def _hang(server: PostgresServer, seconds: float) -> None:
    await asyncio.to_thread(server.pause)
    try:
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(server.resume)


async def _terminate(server: PostgresServer, database_url: str, sessions: int) -> None:
    connection = await asyncpg.connect(server.admin_url)
    try:
        for _ in range(sessions):
            await connection.execute(_TERMINATE, database_url.rpartition("/")[2])
            await asyncio.sleep(BETWEEN_TERMINATIONS_SECONDS)
    finally:
        await connection.close()


ROW = Row(fault="F6", title="PostgreSQL stopped and started, hanging, and ending sessions", run=run)
