"""F7: the links of a worker to Kafka and to PostgreSQL are slow, fall silent, are reset again and again, and half open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
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

FACTS = 40_000
TIMES = 5
"""Of each fault on each link."""

LATENCY_SECONDS = 0.2
SILENT_SECONDS = 15
RESET_EVERY_BYTES = 100_000
LASTING_SECONDS = 15
"""Of latency and of resets."""

RECOVERED_SECONDS = 120
"""A half-open connection is noticed by the timeout of what waits on it: of a statement 30 s, of a question to Kafka 60 s."""

QUIET_SECONDS = 900
CONSUMING_SECONDS = 120


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    broker = await asyncio.to_thread(ground.breakable.kafka)
    detour, database = broker.detour(), urlsplit(ground.postgres)
    async with (
        Proxy("127.0.0.1", detour.port, listen_port=detour.announced_port) as to_kafka,
        Proxy(database.hostname or "", database.port or 5432) as to_postgres,
        stage(replace(ground, kafka=broker.bootstrap_servers), "bad-links") as here,
    ):
        stream = await prepare(here, FACTS, seed)
        servers, url = f"127.0.0.1:{to_kafka.port}", through(here.database_url, to_postgres)
        await here.start_workers(1)
        await here.start_workers(1, probes=True, kafka_bootstrap_servers=servers, database_url=url)
        every = [
            (f"{fault} to {name}", partial(happen, link))
            for name, link in (("kafka", to_kafka), ("postgres", to_postgres))
            for fault, happen in FAULTS.items()
        ]
        async with watching(here.workers[1:]) as watches:
            parts = stream.parts(len(every) * TIMES)
            outages = Outages(here, size, watches, outcome, parts, within=RECOVERED_SECONDS)
            for name, fault in chance.sample(every * TIMES, len(every) * TIMES):
                await outages.happen(name, fault, after=chance.uniform(0.2, 2), must_notice="silent" in name)
                await here.until_consuming(CONSUMING_SECONDS)
                outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS)
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    outcome.figures |= {"facts": FACTS, "faults": len(every) * TIMES}
    return outcome


async def _slow(link: Proxy) -> None:
    link.latency_seconds = LATENCY_SECONDS
    await asyncio.sleep(LASTING_SECONDS)
    link.latency_seconds = 0


async def _silent(link: Proxy) -> None:
    link.cut()
    await asyncio.sleep(SILENT_SECONDS)
    link.mend()


async def _reset(link: Proxy) -> None:
    link.reset_every_bytes = RESET_EVERY_BYTES
    await asyncio.sleep(LASTING_SECONDS)
    link.reset_every_bytes = None


async def _half_open(link: Proxy) -> None:
    link.forget()


FAULTS: Mapping[str, Callable[[Proxy], Awaitable[None]]] = {
    "slow": _slow,
    "silent": _silent,
    "reset": _reset,
    "half open": _half_open,
}

ROW = Row(
    fault="F7",
    title="slow, silent, reset and half-open links",
    run=run,
    full_only="a bad link shows what it does only after tens of seconds",
)
