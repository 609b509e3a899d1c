"""F8: a worker is cut off from Kafka only, then from PostgreSQL only, for longer than its session: a zombie."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from random import Random
from urllib.parse import urlsplit

from tests.faults import acknowledged
from tests.faults.outages import Outages
from tests.faults.proxy import Proxy, through
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, stage
from tests.faults.stream import prepare
from tests.faults.watch import watching

FACTS = {Size.CI: 3_000, Size.FULL: 60_000}
TIMES = {Size.CI: 1, Size.FULL: 10}
CUT_SECONDS = 8, 14
"""Longer than a session (6 s): whoever is cut off from Kafka has lost its partitions when it comes back."""

QUIET_SECONDS = {Size.CI: 120, Size.FULL: 900}
CONSUMING_SECONDS = 60


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    broker = await asyncio.to_thread(ground.breakable.kafka)
    detour = broker.detour()
    database = urlsplit(ground.postgres)
    async with (
        Proxy("127.0.0.1", detour.port, listen_port=detour.announced_port) as to_kafka,
        Proxy(database.hostname or "", database.port or 5432) as to_postgres,
        stage(replace(ground, kafka=broker.bootstrap_servers), "cut-off") as here,
    ):
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(1)
        await here.start_workers(
            1,
            probes=True,
            kafka_bootstrap_servers=f"127.0.0.1:{to_kafka.port}",
            database_url=through(here.database_url, to_postgres),
        )
        links = {"kafka": to_kafka, "postgres": to_postgres}
        async with watching(here.workers[1:]) as watches:
            outages = Outages(here, size, watches, outcome, stream.parts(TIMES[size] * len(links)))
            for _ in range(TIMES[size]):
                for name, link in links.items():
                    cut = partial(_cut, link, chance.uniform(*CUT_SECONDS), resets=chance.random() < 0.5)
                    await outages.happen(f"cut off from {name}", cut, after=chance.uniform(0.2, 2))
                    await here.until_consuming(CONSUMING_SECONDS)
                    outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    outcome.figures |= {"facts": FACTS[size], "times": TIMES[size]}
    return outcome


async def _cut(link: Proxy, seconds: float, *, resets: bool) -> None:
    """What was on its way arrives afterwards, or the connections have died meanwhile."""
    link.cut()
    await asyncio.sleep(seconds)
    if resets:
        link.reset()
    link.mend()


ROW = Row(
    fault="F8",
    title="a worker cut off from Kafka only, from PostgreSQL only",
    run=run,
    full_only="being cut off is what F5 and F6 do to both sides at once",
)
