"""F23: a rolling upgrade under load, and back: the release before runs on the new schema, beside the new one.

Workers and an API of the code as it was before the newest migration; `migrate` of today while they run; then one worker after
another is replaced by one of today, and at the end one of them goes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path
from random import Random

from goalstream.storage.migrate import migrate
from tests.conftest import JWT_SECRET
from tests.faults.asking import asking
from tests.faults.judge import Findings
from tests.faults.previous_release import PreviousRelease, previous_release
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, NotQuiet, Stage, stage
from tests.faults.stream import Stream, prepare, recovered, telling
from tests.faults.workers import WorkerProcess

FACTS = {Size.CI: 2_500, Size.FULL: 100_000}
WORKERS = {Size.CI: 2, Size.FULL: 4}
REPLACED = {Size.CI: 1, Size.FULL: 4}
"""Of those: what the last one leaves behind, workers of today alone, is what all other rows are about."""

TELLING_SECONDS = {Size.CI: 0.8, Size.FULL: 15.0}
"""At a step, and again after it."""

DECIDED_SECONDS = 30
RECOVERED_SECONDS = 60
QUIET_SECONDS = {Size.CI: 60, Size.FULL: 300}
POLL_SECONDS = 0.1


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    outcome, chance = Outcome(), Random(seed)
    old = await asyncio.to_thread(previous_release, ground.folder / "previous")

    async def migrate_as_before(database_url: str) -> None:
        await asyncio.to_thread(old.migrate, database_url)

    async with stage(ground, "upgrade", migrate=migrate_as_before, jwt_secret=JWT_SECRET) as here:
        here.note("previous release", commit=old.commit, unknown_migrations=old.unknown_migrations)
        steps = Steps(here, await prepare(here, FACTS[size], seed), REPLACED[size] + 2, TELLING_SECONDS[size])
        async with asking(here, ground.folder, chance) as asker:
            for _ in range(WORKERS[size]):
                _start(here, old.root)
            await asker.ask(asker.launch("old-api", tree=old.root))
            await here.until_consuming()
            new_api = asker.launch("new-api")  # which waits for the migration
            by_old = await steps.take(_migrate(outcome, here, old))
            await asker.ask(new_api)
            for worker in here.workers[: REPLACED[size]]:
                await steps.take(_replace(outcome, here, worker, None))
            back = await steps.take(_replace(outcome, here, here.workers[-1], old.root))
            await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(asker.findings)
        outcome.findings.add(await here.judge())
        outcome.findings.add(await here.stop_workers())
        seen = await here.evidence()
    outcome.figures |= {
        "facts": FACTS[size],
        "workers_replaced": len(outcome.recoveries),
        "rows_by_the_old_on_the_new_schema": by_old,
        "rows_after_the_rollback": back,
        "rows": len(seen.rows),
        "messages": len(seen.messages),
        **{f"answers_of_the_{name.replace('-', '_')}": count for name, count in sorted(asker.answered.items())},
    }
    return outcome


class Steps:
    """Facts that are told while something is done, and afterwards."""

    def __init__(self, here: Stage, stream: Stream, count: int, seconds: float) -> None:
        self._here = here
        self._seconds = seconds
        self._parts = iter(stream.parts(2 * count))

    async def take(self, step: Awaitable[None]) -> int:
        """Achievements that came after it, of which there must be some. Raises NotQuiet."""
        async with telling(next(self._parts), self._seconds):
            await step
        before = await self._rows()
        async with telling(next(self._parts), self._seconds):
            pass
        deadline = time.monotonic() + DECIDED_SECONDS
        while not (more := await self._rows() - before):
            if time.monotonic() > deadline:
                raise NotQuiet(f"nothing was achieved within {DECIDED_SECONDS} s")
            await asyncio.sleep(POLL_SECONDS)
        return more

    async def _rows(self) -> int:
        async with self._here.database.connection() as connection:
            return int(await connection.fetchval("select count(*) from achievements"))


async def _migrate(outcome: Outcome, here: Stage, old: PreviousRelease) -> None:
    """The schema of today, while those of before are at work."""
    began = time.monotonic()
    applied = await migrate(here.database_url)
    took = time.monotonic() - began
    here.note("migrated", applied=applied, took=round(took, 2))
    outcome.figures |= {"migrations": len(applied), "migrate_seconds": round(took, 2)}
    if applied != list(old.unknown_migrations):
        outcome.findings.wrong.append(f"{applied} were applied, not {old.unknown_migrations}")


def _start(here: Stage, tree: Path | None) -> None:
    """One more worker; of another tree than today's, if need be."""
    worker = here.new_worker(WorkerProcess)
    if tree is not None:
        worker.run_tree(tree)
    worker.start()
    here.note("worker started", worker=worker.name, pid=worker.pid, tree=tree or "today's")


async def _replace(outcome: Outcome, here: Stage, worker: WorkerProcess, tree: Path | None) -> None:
    """SIGTERM, and another one in its place; returns when the group has acknowledged what was there and shares its partitions."""
    since = time.monotonic()
    code = await asyncio.to_thread(worker.stop)
    here.note("worker stopped", worker=worker.name, exit_code=code)
    if code:
        outcome.findings.add(Findings(limits_missed=[f"{worker.name} ended with exit code {code}"]))
    _start(here, tree)
    outcome.recoveries.append(await recovered(here, since, RECOVERED_SECONDS))
    await here.until_consuming()


ROW = Row(
    fault="F23",
    title="a rolling upgrade under load, and back",
    run=run,
    full_only="it needs the history of the repository, and four minutes",
)
