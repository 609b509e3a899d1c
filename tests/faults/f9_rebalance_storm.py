"""F9: workers join and leave every five seconds, under a stream of facts; every partition gets on all the same."""

from __future__ import annotations

import asyncio
import subprocess
from random import Random

from tests.faults import acknowledged
from tests.faults.judge import Findings
from tests.faults.progress import beating
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, stage
from tests.faults.stream import prepare, telling
from tests.faults.workers import WorkerProcess

FACTS = {Size.CI: 2_000, Size.FULL: 100_000}
CHANGES = {Size.CI: 4, Size.FULL: 60}
CHANGE_SECONDS = 5
LOOK_EVERY = {Size.CI: 1, Size.FULL: 5}
"""Changes; a look reads everything, and takes longer and longer."""

QUIET_SECONDS = {Size.CI: 120, Size.FULL: 600}
PAUSE_SECONDS = {Size.CI: 45, Size.FULL: 20}
"""The longest that a partition may stand still; on a machine that does much else it takes its time to start a worker."""

WORKERS = 2
MOST_WORKERS = 4


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance, outcome = Random(seed), Outcome()
    async with stage(ground, "storm") as here:
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(WORKERS)
        async with beating(here, chance) as progress, telling(stream, CHANGES[size] * CHANGE_SECONDS):
            leaving = []
            for number in range(CHANGES[size]):
                here.show("joining and leaving", number, CHANGES[size])
                next_change = asyncio.create_task(asyncio.sleep(CHANGE_SECONDS))
                if (victim := _who_leaves(here, chance)) is None:
                    worker = here.new_worker(WorkerProcess)
                    worker.start()
                    here.note("joins", worker=worker.name, pid=worker.pid)
                else:
                    leaving.append(asyncio.create_task(_leave(here, victim)))
                if number % LOOK_EVERY[size] == 0:
                    outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
                await next_change
            for left in await asyncio.gather(*leaving):
                outcome.findings.add(left)
            pauses = dict(progress.longest_pauses)
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    for (topic, partition), pause in pauses.items():
        if pause > PAUSE_SECONDS[size]:
            outcome.findings.limits_missed.append(f"{topic}[{partition}] stood still for {pause:.1f} s")
    outcome.figures = {
        "facts": FACTS[size],
        "changes": CHANGES[size],
        "partitions": len(pauses),
        "longest_pause_seconds": max(pauses.values()),
    }
    return outcome


def _who_leaves(here: Stage, chance: Random) -> WorkerProcess | None:
    """Somebody who is there, or None where somebody is to join: at random, while there are neither too few nor too many."""
    alive = [worker for worker in here.workers if worker.is_meant_to_live]
    settled = [worker for worker in alive if worker.can_be_told_to_stop]
    if len(settled) < 2 or (len(alive) < MOST_WORKERS and chance.random() < 0.5):
        return None
    return chance.choice(settled)


async def _leave(here: Stage, worker: WorkerProcess) -> Findings:
    here.note("leaves", worker=worker.name)
    try:
        code = await asyncio.to_thread(worker.stop)
    except subprocess.TimeoutExpired as error:
        return Findings(limits_missed=[f"{worker.name} did not leave within {error.timeout:.0f} s"])
    here.note("has left", worker=worker.name, exit_code=code)
    return Findings(limits_missed=[f"{worker.name} ended with exit code {code}"] if code else [])


ROW = Row(
    fault="F9",
    title="workers join and leave every five seconds",
    run=run,
    full_only="workers need a minute to come and go",
)
