"""F16: each fact told one to five times, shuffled over time, over the topics' partitions and over two workers."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, stage
from tests.integration.builders import put_goal_versions
from tests.oracle import generator
from tests.oracle.history import History, Record, joined

FACTS = {Size.CI: 5_000, Size.FULL: 200_000}
QUIET_SECONDS = {Size.CI: 90, Size.FULL: 3_600}
SIZES = (10, 25, 60, 150)
MOST_COPIES = 5
WORKERS = 2
SEEDS_APART = 1_000_000
"""So that runs with different seeds tell different histories."""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    told = histories(seed, FACTS[size], now=datetime.now(UTC))
    deliveries = repeated(told.records, chance)
    async with stage(ground, "shuffled") as here:
        await put_goal_versions(here.database, told.goal_versions)
        await here.start_workers(WORKERS)
        await here.tell(deliveries)
        await here.quiesce(QUIET_SECONDS[size])
        findings = await here.judge(told.goal_versions)
        findings.add(await here.stop_workers())
        seen = await here.evidence()
    return Outcome(
        findings=findings,
        figures={
            "facts": len(told.records),
            "records": len(deliveries),
            "rows": len(seen.rows),
            "messages": len(seen.messages),
            "dead_letters": len(seen.dead_letters),
        },
    )


def histories(seed: int, facts: int, *, now: datetime) -> History:
    """Histories of several seeds as one, with so many facts."""
    several: list[History] = []
    left, number = facts, seed * SEEDS_APART
    while left > 0:
        one = generator.history(number, min(left, SIZES[number % len(SIZES)]), now=now)
        several.append(one)
        left, number = left - len(one.records), number + 1
    return joined(several)


def repeated(records: tuple[Record, ...], chance: Random) -> list[tuple[Record, int]]:
    """Every record one to five times, in any order, each copy on any partition."""
    copies = [record for record in records for _ in range(chance.randint(1, MOST_COPIES))]
    chance.shuffle(copies)
    return [(record, chance.randrange(PARTITIONS)) for record in copies]


ROW = Row(
    fault="F16",
    title="each fact told 1-5 times, shuffled over time, partitions and workers",
    run=run,
    full_only="tests/integration/test_histories.py repeats and shuffles histories, without Kafka",
)
