"""F4: our own code fails at random records, wherever on the path; they are set aside, and redriven once it is mended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from random import Random

from goalstream.streams.topics import READ_TOPICS
from tests.faults import acknowledged, defects
from tests.faults.defects import is_marked
from tests.faults.evidence import Evidence
from tests.faults.expectation import BadLetter, Expected
from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.forked_workers import FailingWorker
from tests.faults.judge import Findings, judge
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
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
REDRIVE_SECONDS = 60
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
        outcome.findings.add(await _only_what_failed_is_set_aside(here, told))
        outcome.findings.add(await here.stop_workers())
        for worker in workers:
            worker.start()
        await asyncio.to_thread(_redrive, here)
        await here.quiesce(QUIET_SECONDS[size])
        expected, seen = await _expected(here, told), await _seen(here)
        outcome.findings.add(judge(expected, seen))
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
        here = defects.places(records[at].topic)
        records[at] = defects.marked(records[at], here[number % len(here)], number)
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


async def _only_what_failed_is_set_aside(here: Stage, told: History) -> Findings:
    """What else follows from the facts cannot be said before the defects are mended: some are stored, others are not."""
    expected, seen = await _expected(here, told), await _seen(here)
    return Findings(dead_letters_wrong=judge(expected, seen).dead_letters_wrong)


async def _expected(here: Stage, told: History) -> Expected:
    """What the oracle says, and a dead letter for every record at which the worker fails; not for those sent again."""
    expected = await here.expected(told.goal_versions)
    stored: Sequence[Stored] = await asyncio.to_thread(here.topics.read, READ_TOPICS)
    for one in stored:
        if is_marked(one.record) and not one.record.headers:
            expected.dead_letters[one.origin] = BadLetter(record=one.record, reason="unexpected")
    return expected


async def _seen(here: Stage) -> Evidence:
    """What is there, but for the marks that a redrive leaves on the dead-letter topic."""
    seen = await here.evidence()
    is_letter: Callable[[Stored], bool] = lambda one: one.record.headers[-1][0] != "goalstream_mark"  # noqa: E731
    seen.dead_letters = [one for one in seen.dead_letters if is_letter(one)]
    return seen


def _redrive(here: Stage) -> None:
    """As an operator does it."""
    command = [sys.executable, "-m", "goalstream", "dead-letters", "redrive", "--reason", "unexpected", "--yes"]
    done = subprocess.run(
        command, env=here.workers[0].environment, cwd=here.workers[0].log.parent,
        capture_output=True, text=True, timeout=REDRIVE_SECONDS, check=False,
    )  # fmt: skip
    here.note("redriven", exit_code=done.returncode, said=done.stdout + done.stderr)
    if done.returncode:
        raise RuntimeError(f"redrive: exit code {done.returncode}, {done.stdout} {done.stderr}")


ROW = Row(fault="F4", title="our own code fails at random records; mended, they are redriven", run=run)
