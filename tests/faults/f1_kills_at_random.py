"""F1: kill -9 of a random one of two workers at random moments; it starts again at once."""

from __future__ import annotations

import asyncio
import time
from random import Random

from tests.faults import acknowledged
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, stage
from tests.faults.stream import prepare, recovered, telling

FACTS = {Size.CI: 4_000, Size.FULL: 200_000}
KILLS = {Size.CI: 2, Size.FULL: 30}
QUIET_SECONDS = {Size.CI: 120, Size.FULL: 900}
WORKERS = 2
SECONDS_A_KILL = 10
MEDIAN_SECONDS = 8
GIVE_UP_SECONDS = 60
MOST_SECONDS = 16
"""The session (6 s) and 10 s."""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    async with stage(ground, "kills") as here:
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(WORKERS)
        async with telling(stream, KILLS[size] * SECONDS_A_KILL):
            for number in range(KILLS[size]):
                await asyncio.sleep(chance.uniform(0.5, 3))
                here.show("killing", number, KILLS[size])
                victim = chance.choice(here.workers)
                victim.kill()
                killed_at = time.monotonic()
                here.note("killed", worker=victim.name)
                then = await acknowledged.moment(here)
                victim.start()
                outcome.recoveries.append(await recovered(here, killed_at, GIVE_UP_SECONDS))
                outcome.findings.add(await acknowledged.compare(here, then, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
        outcome.figures = {
            "facts": FACTS[size],
            "kills": KILLS[size],
            "rows": len(seen.rows),
            "messages": len(seen.messages),
        }
    median, most = sorted(outcome.recoveries)[len(outcome.recoveries) // 2], max(outcome.recoveries)
    if size is Size.FULL and (median > MEDIAN_SECONDS or most > MOST_SECONDS):
        outcome.findings.limits_missed.append(f"recovery took {median:.1f} s in the median and {most:.1f} s at most")
    return outcome


ROW = Row(fault="F1", title="kill -9 of a random worker at random moments", run=run)
