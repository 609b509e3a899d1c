"""F19: the clock of one of two workers is off by an hour, while goals change and events stream: only PostgreSQL's clock counts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

from tests.faults import acknowledged, evidence
from tests.faults.busy_accounts import status
from tests.faults.f17_changes_while_streaming import change_and_stream, hot_accounts
from tests.faults.judge import Findings
from tests.faults.off_clock import clock_off_by
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.workers import WorkerProcess

HOURS = (1, -1, 1, -1, 1)
"""One round each."""

SECONDS = 30
QUIET_SECONDS = 300
DELAY_SECONDS = 2.0
CLOSE = timedelta(minutes=10)
"""What a worker whose clock is right writes lies nearer to now than this, and what the others write further away."""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome = Outcome(
        figures={"rounds": len(HOURS), "events": 0, "rows": 0, "messages": 0, "of_the_clock_that_is_off": 0}
    )
    for number, hours in enumerate(HOURS):
        async with stage(ground, f"{hours:+d}h-{number}", activation_delay_seconds=str(DELAY_SECONDS)) as here:
            for name, value in (await _round(here, hours, Random(f"{seed} {number}"), outcome.findings)).items():
                outcome.figures[name] += value
    if not outcome.figures["of_the_clock_that_is_off"]:
        outcome.findings.limits_missed.append("nothing was published by a worker whose clock is off: nothing was shown")
    return outcome


async def _round(here: Stage, hours: int, chance: Random, findings: Findings) -> Mapping[str, int]:
    right, off = here.new_worker(WorkerProcess), here.new_worker(WorkerProcess)
    off.environment |= clock_off_by(hours)
    for worker in (right, off):
        worker.start()
    here.note("workers started", right=right.pid, off=off.pid, hours=hours)
    await here.until_consuming()
    accounts = hot_accounts(SECONDS, chance)
    await here.tell([(status(chance, account_id), chance.randrange(PARTITIONS)) for account_id in accounts])
    told = await change_and_stream(here, accounts, DELAY_SECONDS, SECONDS, chance)
    await here.quiesce(QUIET_SECONDS)
    findings.add(await acknowledged.look(here, await evidence.goal_versions(here.database)))
    findings.add(await here.judge())
    findings.add(await here.stop_workers())
    published = await asyncio.to_thread(here.topics.read, [evidence.ACHIEVED, evidence.REVOKED, evidence.EXIT])
    now = datetime.now(UTC)
    moments = [datetime.fromtimestamp(one.record.timestamp / 1000, UTC) for one in published]
    return {
        "events": sum(map(len, told.events.values())),
        "rows": len((await evidence.tables(here.database)).rows),
        "messages": len(published),
        "of_the_clock_that_is_off": sum(abs(moment - now) > CLOSE for moment in moments),
    }


ROW = Row(
    fault="F19",
    title="the clock of one of two workers is off by an hour",
    run=run,
    full_only="it needs libfaketime (`apt-get install faketime`), and minutes",
)
