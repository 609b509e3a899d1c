"""F4: our own code fails at random records, wherever on the path; they are set aside, and redriven once it is mended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from random import Random

from tests.faults import acknowledged, defects
from tests.faults.defects import is_marked
from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.forked_workers import FailingWorker
from tests.faults.judge import judge
from tests.faults.rows import Outcome, Row, Size
from tests.faults.set_aside import evidence_without_marks, expected_after, only_what_failed, redrive
from tests.faults.stage import PARTITIONS, Ground, stage
from tests.faults.stream import Stream, recovered, telling
from tests.faults.topics import Stored
from tests.integration.builders import put_goal_versions
from tests.oracle.history import EVENT_TOPICS, History, Record

DEFECTS = {Size.CI: 10, Size.FULL: 100}
FACTS = {Size.CI: 2_000, Size.FULL: 40_000}
SECONDS = {Size.CI: 3, Size.FULL: 60}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 600}
ADVANCE_SECONDS = {Size.CI: 30, Size.FULL: 10}
WORKERS = 2
GIVE_UP_SECONDS = 60
REASON = "unexpected"
LAST_SHARE = 0.1
"""Of the defects so many are met after everything else was told: nothing behind them would push their offsets on."""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    async with stage(ground, "defects") as here:
        told = histories(seed, FACTS[size], now=datetime.now(UTC))
        await put_goal_versions(here.database, told.goal_versions)
        records = with_defects(told, DEFECTS[size], chance)
        workers = [here.new_worker(FailingWorker) for _ in range(WORKERS)]
        for worker in workers:
            worker.start_failing(defects.arm)
        await here.until_consuming()
        async with telling(Stream(here, told, [(one, chance.randrange(PARTITIONS)) for one in records]), SECONDS[size]):
            pass
        outcome.recoveries.append(await recovered(here, time.monotonic(), GIVE_UP_SECONDS))
        if outcome.recoveries[0] > ADVANCE_SECONDS[size]:
            outcome.findings.limits_missed.append(f"offsets stood still for {outcome.recoveries[0]:.1f} s")
        outcome.findings.add(await acknowledged.look(here, told.goal_versions, excused=is_marked))
        outcome.findings.add(await only_what_failed(here, is_marked, REASON))
        outcome.findings.add(await here.stop_workers())
        for worker in workers:
            worker.start()
        await asyncio.to_thread(redrive, here, REASON)
        await here.quiesce(QUIET_SECONDS[size])
        seen = await evidence_without_marks(here)
        outcome.findings.add(judge(await expected_after(here, told.goal_versions, is_marked, REASON), seen))
        outcome.findings.add(await here.stop_workers())
    outcome.figures = {
        "facts": len(records),
        "defects": sum(map(is_marked, records)),
        "rows": len(seen.rows),
        "messages": len(seen.messages),
    }
    return outcome


def with_defects(told: History, count: int, chance: Random) -> list[Record]:
    """The records in any order, some of which the worker will fail at; every place gets some, and a few come last."""
    records = chance.sample(told.records, len(told.records))
    chosen = _places(records, told, count // 2, chance, are_events=True)
    chosen += _places(records, told, count - count // 2, chance, are_events=False)
    for number, at in enumerate(chosen):
        place = defects.PLACES[number % len(defects.PLACES)]
        records[at] = defects.marked(records[at], place, number)
    last = chance.sample(chosen, max(1, int(count * LAST_SHARE)))
    return records + [records[at] for at in last]


def _places(records: Sequence[Record], told: History, count: int, chance: Random, *, are_events: bool) -> list[int]:
    """Where among the records some are that tell facts, and can be marked."""
    anywhere = chance.sample(range(len(records)), len(records))
    of_kind = (at for at in anywhere if (records[at].topic in EVENT_TOPICS) == are_events)
    return [*islice((at for at in of_kind if _tells_a_fact(records[at], told)), count)]


def _tells_a_fact(record: Record, told: History) -> bool:
    stored = Stored(origin=(record.topic, 0, 0), record=record)
    return defects.can_be_marked(record) and bool(acknowledged.facts([stored], told.goal_versions))


ROW = Row(fault="F4", title="our own code fails at random records; mended, they are redriven", run=run)
