"""F5: the broker is killed and started again, hangs, and is away for longer than a session, under a stream of facts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from random import Random

from tests.faults import acknowledged
from tests.faults.outages import Outages
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, stage
from tests.faults.stream import prepare
from tests.faults.watch import watching
from tests.services.broker import Cluster

FACTS = {Size.CI: 3_000, Size.FULL: 100_000}
KILLS = {Size.CI: 1, Size.FULL: 10}
SHORT_SECONDS = 0.5, 4
LONG_SECONDS = {Size.CI: 8, Size.FULL: 20}
"""Longer than a session (6 s): every other outage, and the only one of the small size."""

HANGS = {Size.CI: 1, Size.FULL: 5}
HANGING_SECONDS = {Size.CI: 8, Size.FULL: 20}
QUIET_SECONDS = {Size.CI: 120, Size.FULL: 900}
CONSUMING_SECONDS = 30
WORKERS = 2
RESUME_SECONDS = 15


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    broker = await asyncio.to_thread(ground.breakable.kafka)
    async with stage(replace(ground, kafka=broker.bootstrap_servers), "broker-away") as here:
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(WORKERS, probes=True)
        names = ["long" if number % 2 == 0 else "short" for number in range(KILLS[size])] + ["hang"] * HANGS[size]
        async with watching(here.workers) as watches:
            outages = Outages(here, size, watches, outcome, stream.parts(len(names)), within=RESUME_SECONDS)
            for name in chance.sample(names, len(names)):
                match name:
                    case "hang":
                        fault = partial(_hang, broker, HANGING_SECONDS[size])
                    case "long":
                        fault = partial(_kill, broker, LONG_SECONDS[size])
                    case _:
                        fault = partial(_kill, broker, chance.uniform(*SHORT_SECONDS))
                await outages.happen(name, fault, after=chance.uniform(0.2, 2))
                # A leader that assigns from metadata of the outage leaves everybody without partitions.
                await here.until_consuming(CONSUMING_SECONDS)
                outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    outcome.figures |= {"facts": FACTS[size], "kills": KILLS[size], "hangs": HANGS[size]}
    return outcome


async def _kill(broker: Cluster, seconds: float) -> None:
    await asyncio.to_thread(broker.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(broker.revive)


async def _hang(broker: Cluster, seconds: float) -> None:
    broker.pause()
    try:
        await asyncio.sleep(seconds)
    finally:
        broker.resume()


ROW = Row(fault="F5", title="the broker killed and revived, hanging, away for longer than a session", run=run)
