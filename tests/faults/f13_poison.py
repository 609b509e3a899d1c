"""F13: every bad record there is, mixed into good ones; a partition of nothing else; and the limits that stop a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from goalstream.streams.dead_letters import SHARE_WINDOW
from tests.faults import acknowledged
from tests.faults.f16_repeated_and_shuffled import histories
from tests.faults.forked_workers import ForkedWorker
from tests.faults.judge import Findings
from tests.faults.poison import LARGE_BYTES, corpus
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import PARTITIONS, Ground, NotQuiet, Stage, stage
from tests.faults.stream import recovered
from tests.faults.topics import Partition
from tests.integration.builders import put_goal_versions
from tests.oracle.history import TAG_ADDED, History, Record

RECORDS = {Size.CI: 1_000, Size.FULL: 100_000}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 600}
SHARE = 0.01
NEIGHBOURS_TIMES = 2.5
"""As long as without may good records take, while another partition brings as much poison: so twice the work, and a little."""

NEIGHBOURS_SECONDS = {Size.CI: 30, Size.FULL: 5}
"""Where it is over so soon that most of it is chance, this long."""

WORKERS = 2
MOST_IN_A_ROW = 40
MOST_SHARE = 0.5
UNTIL_STOPPED_SECONDS = 60
POISONED: Partition = (TAG_ADDED, PARTITIONS - 1)

Delivery = tuple[Record, int]


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    async with stage(ground, "poison") as here:
        told = histories(seed, RECORDS[size], now=datetime.now(UTC))
        await put_goal_versions(here.database, told.goal_versions)
        workers = [here.new_worker(ForkedWorker) for _ in range(WORKERS)]
        _start(workers, in_a_row=0, share=0)
        await here.until_consuming()
        good = _anywhere(told.records, chance)
        mixed, rest = good[: len(good) // 2], good[len(good) // 2 :]
        poison = _anywhere(_enough_poison(chance, RECORDS[size]), chance)
        began = time.monotonic()
        await here.tell(chance.sample([*mixed, *poison], len(mixed) + len(poison)))
        alone = await recovered(here, began, QUIET_SECONDS[size])
        await _neighbours_go_on(outcome, here, rest, size, chance, alone)
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.stop_workers())
        await _limits_stop_all(outcome.findings, here, told, workers, chance)
        _start(workers, in_a_row=0, share=0)
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(told.goal_versions))
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
    outcome.figures |= {
        "records": len(good),
        "kinds_of_poison": len(corpus(chance, datetime.now(UTC))),
        "rows": len(seen.rows),
        "messages": len(seen.messages),
        "dead_letters": len(seen.dead_letters),
    }
    return outcome


def _start(workers: Sequence[ForkedWorker], *, in_a_row: int, share: float) -> None:
    for worker in workers:
        worker.environment["GOALSTREAM_DEAD_LETTER_MAX_IN_A_ROW"] = str(in_a_row)
        worker.environment["GOALSTREAM_DEAD_LETTER_MAX_SHARE"] = str(share)
        worker.start()


def _anywhere(records: Sequence[Record], chance: Random) -> list[Delivery]:
    """On any partition but the poisoned one."""
    return [(one, chance.randrange(PARTITIONS - (one.topic == POISONED[0]))) for one in records]


def _enough_poison(chance: Random, records: int) -> list[Record]:
    """All kinds, again and again, until they are a hundredth of the records."""
    found: list[Record] = []
    while not found or len(found) < SHARE * records:
        found += corpus(chance, datetime.now(UTC))
    return found


def _nothing_but_poison(chance: Random, count: int) -> list[Delivery]:
    of_topic = (one for one in corpus(chance, datetime.now(UTC)) if one.topic == POISONED[0])
    kinds = [one for one in of_topic if len(one.value or b"") < LARGE_BYTES]
    return [(kinds[number % len(kinds)], POISONED[1]) for number in range(count)]


async def _neighbours_go_on(
    outcome: Outcome, here: Stage, good: Sequence[Delivery], size: Size, chance: Random, alone: float
) -> None:
    """Good records are worked off while one partition holds as many bad ones; `alone` is what as many took before."""
    await here.tell(_nothing_but_poison(chance, len(good)))
    began = time.monotonic()
    await here.tell(good)
    seconds = await recovered(here, began, QUIET_SECONDS[size], but_for=[POISONED])
    outcome.recoveries.append(seconds)
    outcome.figures |= {"good_seconds": round(alone, 1), "beside_poison_seconds": round(seconds, 1)}
    if seconds > max(NEIGHBOURS_TIMES * alone, NEIGHBOURS_SECONDS[size]):
        outcome.findings.limits_missed.append(
            f"good records took {seconds:.1f} s beside a poisoned partition, as many before {alone:.1f} s"
        )


async def _limits_stop_all(
    findings: Findings, here: Stage, told: History, workers: Sequence[ForkedWorker], chance: Random
) -> None:
    """First too many in a row, worker after worker stops; then too large a share. Each says what to do."""
    many = _nothing_but_poison(chance, (WORKERS + 1) * MOST_IN_A_ROW)
    beside = [one for one in told.records if one.topic == POISONED[0]]
    mostly = [
        delivery
        for bad in _nothing_but_poison(chance, SHARE_WINDOW)
        for delivery in (bad, bad, (chance.choice(beside), POISONED[1]))
    ]
    for deliveries, in_a_row, share, setting, who in (
        (many, MOST_IN_A_ROW, 0.0, "MAX_IN_A_ROW", workers),
        # What the first one acknowledges before it stops the next one does not see.
        (mostly, 0, MOST_SHARE, "MAX_SHARE", workers[:1]),
    ):
        await here.tell(deliveries)
        end = (await asyncio.to_thread(here.topics.ends))[POISONED]
        _start(who, in_a_row=in_a_row, share=share)
        await _until_all_have_stopped(here, who)
        here.note("stopped at the limit", setting=setting, exit_codes=[worker.exit_code for worker in who])
        findings.add(await acknowledged.look(here, told.goal_versions))
        findings.limits_missed += _stopped_wrongly(who, setting)
        if (await asyncio.to_thread(here.topics.committed)).get(POISONED, 0) >= end:
            findings.lost.append(f"everything on {POISONED} is acknowledged, although the workers stopped at it")


async def _until_all_have_stopped(here: Stage, workers: Sequence[ForkedWorker]) -> None:
    deadline = time.monotonic() + UNTIL_STOPPED_SECONDS
    while any(worker.exit_code is None for worker in workers):
        if time.monotonic() > deadline:
            raise NotQuiet(f"{[one.exit_code for one in workers]} are the exit codes, beyond a limit of dead letters")
        await asyncio.sleep(0.1)


def _stopped_wrongly(workers: Sequence[ForkedWorker], setting: str) -> list[str]:
    """Exit code 1, and a line that names the partition and the setting that lets the worker past it."""
    found = []
    for worker in workers:
        said = worker.log.read_text().splitlines()[-1:]
        line = f"{POISONED[0]} partition {POISONED[1]}: "
        is_helpful = bool(said) and line in said[0] and f"GOALSTREAM_DEAD_LETTER_{setting}=0" in said[0]
        if worker.exit_code != 1 or not is_helpful:
            found.append(f"{worker.name} ended with exit code {worker.exit_code} and said {said}")
    return found


ROW = Row(fault="F13", title="every kind of bad record, a partition of nothing else, and the stop limits", run=run)
