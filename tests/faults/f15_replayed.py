"""F15: everything is read again from the beginning, and nothing comes of it: no row, no message."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.faults.evidence import ACHIEVED, DEAD_LETTER, EXIT, REVOKED
from tests.faults.forked_workers import ForkedWorker
from tests.faults.judge import Findings
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, stage
from tests.faults.stream import prepare

FACTS = {Size.CI: 5_000, Size.FULL: 200_000}
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 3_600}
WORKERS = 2
STANDSTILL_SECONDS = 1.0
PUBLISHED = (ACHIEVED, REVOKED, EXIT)

_WRITTEN = """
select relname, n_tup_ins, n_tup_del, n_tup_upd from pg_stat_user_tables where relname <> 'schema_migrations'
"""
"""How often rows of each table were written."""

_ACHIEVEMENTS = "select to_jsonb(achievements)::text from achievements order by 1"


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome = Outcome()
    async with stage(ground, "replayed") as here:
        stream = await prepare(here, FACTS[size], seed)
        workers = [here.new_worker(ForkedWorker) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        await here.until_consuming()
        await stream.tell(1)
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.stop_workers())
        before = await _state(here)
        await asyncio.to_thread(here.topics.rewind)
        here.note("rewound")
        for worker in workers:
            worker.start()
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.stop_workers())
        outcome.findings.add(_differences(before, await _state(here)))
        outcome.findings.add(await here.judge(stream.told.goal_versions))
    outcome.figures = {
        "facts": len(stream.told.records),
        "rows": len(before["achievements"]),
        "messages": len(before["messages"]),
    }
    return outcome


async def _state(here: Stage) -> Mapping[str, Any]:
    """Everything that a replay must leave alone, and how often bad records were read; no worker may live."""
    async with here.database.connection() as connection:
        achievements = [row[0] for row in await connection.fetch(_ACHIEVEMENTS)]
    messages = {one.origin for one in await asyncio.to_thread(here.topics.read, PUBLISHED)}
    letters = len(await asyncio.to_thread(here.topics.read, [DEAD_LETTER]))
    return {"written": await _written(here), "achievements": achievements, "messages": messages, "letters": letters}


async def _written(here: Stage) -> dict[str, tuple[int, ...]]:
    """The counts once they stand still: a connection that is just being closed may not have told all yet."""
    found: dict[str, tuple[int, ...]] = {}
    while True:
        async with here.database.connection() as connection:
            now = {row[0]: tuple(row)[1:] for row in await connection.fetch(_WRITTEN)}
        if now == found:
            return found
        found = now
        await asyncio.sleep(STANDSTILL_SECONDS)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Findings:
    found = Findings()
    if not before["achievements"] or after["letters"] < 2 * before["letters"]:
        counts = f"{before['letters']} and then {after['letters']} dead letters"
        found.limits_missed.append(
            f"not everything was read twice: {len(before['achievements'])} achievements, {counts}"
        )
    for table, counts in after["written"].items():
        known = before["written"].get(table, (0, 0, 0))
        if counts != known:
            found.duplicate.append(f"a replay wrote into {table}: inserted, deleted, updated {known} became {counts}")
    if before["achievements"] != after["achievements"]:
        found.wrong.append("a replay changed achievements")
    for origin in after["messages"] - before["messages"]:
        found.duplicate.append(f"a replay published {origin}")
    return found


ROW = Row(
    fault="F15",
    title="everything read again from the beginning",
    run=run,
    full_only="tests/integration/test_histories.py repeats and shuffles histories, without Kafka",
)
