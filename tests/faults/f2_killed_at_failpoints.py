"""F2: workers kill themselves at every point of a batch's path, four at a time, so that nobody is left to cover for them."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random

from tests.faults import acknowledged
from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.failpoints import POINTS, kill_at
from tests.faults.forked_workers import FailingWorker
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.integration.builders import put_goal_versions
from tests.oracle.history import Record

ROUNDS = {Size.CI: 1, Size.FULL: 20}
FACTS = {Size.CI: 5_000, Size.FULL: 80_000}
QUIET_SECONDS = {Size.CI: 90, Size.FULL: 600}
AT_ONCE = PARTITIONS
"""As many workers as can have partitions: each then reads one partition of every topic, and comes past every point."""

PORTION = 200
PORTION_SECONDS = 0.3
GIVE_UP_SECONDS = 90
PASSINGS = {"decode": 40}
"""How often a point may be passed before it kills, where that is more than `MOST_PASSINGS`."""

MOST_PASSINGS = 3

Delivery = tuple[Record, int]


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    async with stage(ground, "failpoints") as here:
        told = histories(seed, FACTS[size], now=datetime.now(UTC))
        await put_goal_versions(here.database, told.goal_versions)
        untold = portions(dealt(chance.sample(told.records, len(told.records))))
        workers = [here.new_worker(FailingWorker) for _ in range(AT_ONCE)]
        waves = [wave for _ in range(ROUNDS[size]) for wave in _waves(chance)]
        for number, points in enumerate(waves):
            here.show("killing", number, len(waves))
            outcome.findings.add(await _kill_at(here, workers, points, untold, chance))
            outcome.findings.add(await acknowledged.look(here, told.goal_versions))
        for worker in workers:
            worker.start()
        await here.until_consuming()
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(told.goal_versions))
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
        outcome.figures = {
            "points": len(POINTS),
            "kills": sum(map(len, waves)),
            "rows": len(seen.rows),
            "messages": len(seen.messages),
        }
    return outcome


def dealt(records: Sequence[Record]) -> list[Delivery]:
    """The records of every topic dealt out to its partitions in turn, so that each gets facts of every kind."""
    counts: dict[str, int] = defaultdict(int)
    deliveries = []
    for record in records:
        deliveries.append((record, counts[record.topic] % PARTITIONS))
        counts[record.topic] += 1
    return deliveries


def portions(deliveries: Sequence[Delivery]) -> Iterator[Sequence[Delivery]]:
    """What is told at a time."""
    for first in range(0, len(deliveries), PORTION):
        yield deliveries[first : first + PORTION]


def _waves(chance: Random) -> list[list[str]]:
    points = chance.sample([*POINTS], len(POINTS))
    return [points[first : first + AT_ONCE] for first in range(0, len(points), AT_ONCE)]


async def _kill_at(
    here: Stage,
    workers: Sequence[FailingWorker],
    points: Sequence[str],
    untold: Iterator[Sequence[Delivery]],
    chance: Random,
) -> Findings:
    """Starts workers and tells facts until each of them has killed itself at its point."""
    for worker, point in zip(workers, points, strict=True):
        passing = chance.randint(1, PASSINGS.get(point, MOST_PASSINGS))
        worker.start_failing(partial(kill_at, point, passing))
        here.note("failing worker started", worker=worker.name, point=point, passing=passing)
    deadline = time.monotonic() + GIVE_UP_SECONDS
    alive = dict(zip(workers, points, strict=True))
    before = await _starts(here)
    await here.tell(next(untold, ()))
    while alive and time.monotonic() < deadline:
        await asyncio.sleep(PORTION_SECONDS)
        for worker in [one for one in alive if one.exit_code is not None]:
            here.note("ended", worker=worker.name, point=alive.pop(worker), exit_code=worker.exit_code)
        if before < await _starts(here) and await _somebody_waits(here):
            await here.tell(next(untold, ()))
    found = Findings()
    for worker, point in zip(workers, points, strict=True):
        if worker.exit_code != -signal.SIGKILL:
            found.limits_missed.append(f"not killed at {point!r}, exit code {worker.exit_code}")
            worker.close()
    return found


async def _somebody_waits(here: Stage) -> bool:
    """Whether the partitions of one number are nearly read: those of the dead are not, nor any while the group rebalances."""
    lags = await asyncio.to_thread(here.topics.lags)
    of_number = Counter({number: 0 for number in range(PARTITIONS)})
    for (_, number), lag in lags.items():
        of_number[number] += lag
    return min(of_number.values()) < PORTION / PARTITIONS


async def _starts(here: Stage) -> int:
    """How many starts of enrollments are stored: somebody is at work where it grows."""
    async with here.database.connection() as connection:
        return int(await connection.fetchval("select count(*) from enrollment_starts"))


ROW = Row(fault="F2", title="kill -9 at every point of a batch's path", run=run)
