"""F22: half an hour of a thousand events a second, with a kill every minute; whoever stays must not grow.

Most events match nothing, as in life; the others are of accounts whose goals change once a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import NamedTuple
from uuid import UUID

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from goalstream.storage.pool import Database
from tests.faults import acknowledged, evidence
from tests.faults.busy_accounts import Changer, Crowd, status
from tests.faults.counting_worker import TASKS, CountingWorker
from tests.faults.forked_workers import ForkedWorker
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.stream import recovered
from tests.faults.workers import WorkerProcess
from tests.oracle.history import TAG_ADDED, Fact, Record, milliseconds, on_the_wire
from tests.services.broker import free_ports

SECONDS = 1_800
KILL_EVERY_SECONDS = 60
EVENTS_PER_SECOND = 1_000
MATTERING_PER_SECOND = 50
CHANGES_PER_SECOND = 1
ACCOUNTS = 5
DELAY_SECONDS = 2.0
TICK_SECONDS = 0.05
QUIET_SECONDS = 300
RECOVERED_SECONDS = 60
MOST_RECOVERY_SECONDS = 16

SAMPLE_SECONDS = 5.0
WARM_UP_SHARE = 0.2
MOST_GROWTH = {"resident_mebibytes": 32.0, "file_descriptors": 8.0, "tasks": 8.0}
"""Of the median of the last third above that of the first, after the warm-up."""

NOISE_KEY = b"noise"


class Sample(NamedTuple):
    """A worker at one moment."""

    resident_mebibytes: float
    file_descriptors: float
    tasks: float


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance, outcome = Random(seed), Outcome()
    async with stage(ground, "soak", activation_delay_seconds=str(DELAY_SECONDS)) as here:
        here.topics.ignored_key = NOISE_KEY
        (port,) = free_ports(1)
        stays = here.new_worker(CountingWorker, metrics_port=str(port))
        victim = here.new_worker(ForkedWorker)
        for worker in (stays, victim):
            worker.start()
        await here.until_consuming()
        accounts = [_uuid(chance) for _ in range(ACCOUNTS)]
        await here.tell([(status(chance, account_id), chance.randrange(PARTITIONS)) for account_id in accounts])
        async with _sampled(stays) as samples, asyncio.TaskGroup() as living:
            living.create_task(_change(here, accounts, chance))
            living.create_task(_stream(here, accounts, chance))
            living.create_task(_kill(here, victim, chance, outcome))
        await here.quiesce(QUIET_SECONDS)
        outcome.findings.add(await here.judge())
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
    outcome.figures |= {"seconds": SECONDS, "kills": len(outcome.recoveries)}
    outcome.figures |= {"rows": len(seen.rows), "messages": len(seen.messages)}
    _judge_growth(outcome, samples)
    if max(outcome.recoveries) > MOST_RECOVERY_SECONDS:
        outcome.findings.limits_missed.append(f"recovery took {max(outcome.recoveries):.1f} s at most")
    return outcome


async def _change(here: Stage, accounts: Sequence[str], chance: Random) -> None:
    database = Database(here.database_url, size=2)
    changer = Changer(database, timedelta(seconds=DELAY_SECONDS), chance)
    began, done = time.monotonic(), 0
    while (gone := time.monotonic() - began) < SECONDS:
        while done < gone * CHANGES_PER_SECOND:
            done += 1
            await changer.change(chance.choice(accounts))
        await asyncio.sleep(TICK_SECONDS)
    await database.close()


async def _stream(here: Stage, accounts: Sequence[str], chance: Random) -> None:
    """Events that matter and events that do not, at their rates."""
    crowd, noise, stranger = Crowd(chance), 0, _uuid(chance)
    began, mattering = time.monotonic(), 0
    while (gone := time.monotonic() - began) < SECONDS:
        here.show("soaking", gone, SECONDS)
        now = datetime.now(UTC)
        while mattering < gone * MATTERING_PER_SECOND:
            mattering += 1
            for record in crowd.event(chance.choice(accounts), now):
                here.topics.send(record, chance.randrange(PARTITIONS))
        while noise < gone * (EVENTS_PER_SECOND - MATTERING_PER_SECOND):
            if noise % 100 == 0:
                record = _noise(stranger, now, chance)
            noise += 1
            here.topics.send(record, noise % PARTITIONS)
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.to_thread(here.topics.flush)
    here.note("streamed", mattering=mattering, noise=noise)


async def _kill(here: Stage, victim: WorkerProcess, chance: Random, outcome: Outcome) -> None:
    """Once a minute, somewhere in it."""
    watch = acknowledged.Watch(here)
    for _ in range(SECONDS // KILL_EVERY_SECONDS):
        minute = asyncio.create_task(asyncio.sleep(KILL_EVERY_SECONDS))
        await asyncio.sleep(chance.uniform(5, KILL_EVERY_SECONDS / 3))
        victim.kill()
        killed_at = time.monotonic()
        here.note("killed", worker=victim.name)
        victim.start()
        outcome.recoveries.append(await recovered(here, killed_at, RECOVERED_SECONDS))
        outcome.findings.add(await watch.look(await evidence.goal_versions(here.database)))
        await minute


@asynccontextmanager
async def _sampled(worker: WorkerProcess) -> AsyncIterator[list[Sample]]:
    """Samples of a worker, from the beginning to the end of the block."""
    samples: list[Sample] = []

    async def sample_for_ever() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{worker.probe_port}", trust_env=False) as client:
            while True:
                tasks = _metric((await client.get("/metrics", timeout=30)).text, TASKS)
                process = psutil.Process(worker.pid)
                samples.append(Sample(process.memory_info().rss / (1 << 20), process.num_fds(), tasks))
                await asyncio.sleep(SAMPLE_SECONDS)

    sampling = asyncio.create_task(sample_for_ever())
    try:
        yield samples
    finally:
        sampling.cancel()
        await asyncio.gather(sampling, return_exceptions=True)


def _metric(text: str, name: str) -> float:
    return next(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


def _judge_growth(outcome: Outcome, samples: Sequence[Sample]) -> None:
    warm = samples[int(len(samples) * WARM_UP_SHARE) :]
    third = max(len(warm) // 3, 1)
    for name, limit in MOST_GROWTH.items():
        first, last = (median(getattr(sample, name) for sample in part) for part in (warm[:third], warm[-third:]))
        outcome.figures |= {f"{name}_first": round(first, 1), f"{name}_last": round(last, 1)}
        if last - first > limit:
            outcome.findings.limits_missed.append(f"{name.replace('_', ' ')} grew from {first:.1f} to {last:.1f}")


def _noise(account_id: str, now: datetime, chance: Random) -> Record:
    data: Mapping[str, str] = {"contact_id": _uuid(chance), "tag_name": "noise"}
    envelope = {"event_id": _uuid(chance), "account_id": account_id, "timestamp": now.isoformat(), "data": data}
    told = on_the_wire(Fact(topic=TAG_ADDED, timestamp=milliseconds(now), envelope=envelope))
    return replace(told, key=NOISE_KEY)


def _uuid(chance: Random) -> str:
    return str(UUID(int=chance.getrandbits(128), version=4))


ROW = Row(
    fault="F22",
    title="half an hour of a thousand events a second, a kill every minute",
    run=run,
    full_only="it takes half an hour",
)
