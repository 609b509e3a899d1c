"""What statistics of a large workflow cost: documents, and the roll-up that they are read from.

python -m benchmarks.statistics --enrollments 10000000 [--days 365] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from benchmarks import report
from benchmarks.backend import Backend
from benchmarks.large_workflow import ACCOUNT, WORKFLOW, change, fill
from benchmarks.services import services
from goalstream.errors import DatabaseUnavailable
from goalstream.storage.cohorts import Cohort, Granularity
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.storage.roll_up import RollUp
from goalstream.storage.stats import statistics

RUNS = 20
GOAL_MS = 250
EVERYTHING = 1_000_000_000
EXACT = ("total_enrolled", "goals_achieved", "by_goal", "by_goal_type", "avg_time_to_goal_hours", "series")
WITHIN = ("median_time_to_goal_hours", "p90_time_to_goal_hours")

Results = dict[str, report.Value]


class Workflow:
    """The workflow, asked over one connection as the API does it."""

    def __init__(self, database: Database, since: datetime, until: datetime) -> None:
        self._database = database
        self._since = since
        self._days = until - since

    async def ask(
        self, cohort: Cohort, granularity: Granularity | None = None, tz: str = "UTC", *, live_enrollments: int = 0
    ) -> dict[str, Any]:
        return await statistics(
            self._database, ACCOUNT, cohort, granularity=granularity, tz=tz, live_enrollments=live_enrollments
        )

    @property
    def everybody(self) -> Cohort:
        return Cohort(workflow_id=WORKFLOW)

    def part(self, first: float, last: float) -> Cohort:
        """Who entered between two shares of the whole time; both ends are in the middle of a quarter of an hour."""
        odd = timedelta(minutes=7, seconds=3)
        start, end = (self._since + self._days * share + odd for share in (first, last))
        return Cohort(workflow_id=WORKFLOW, start=start, end=end)

    async def documents(self, worker: Database) -> Results:
        """How many milliseconds documents take; the worker rolls up before each kind, so that none is too old."""
        whole, most = self.everybody, self.part(0.21, 0.93)
        wanted: dict[str, Callable[[], Awaitable[dict[str, Any]]]] = {
            "all": lambda: self.ask(whole),
            "all_by_week": lambda: self.ask(whole, "week", "Europe/Berlin"),
            "all_by_day": lambda: self.ask(whole, "day", "Asia/Kathmandu"),
            "all_by_hour": lambda: self.ask(whole, "hour"),
            "most": lambda: self.ask(most),
            "most_by_day": lambda: self.ask(most, "day", "Europe/Berlin"),
        }
        found: Results = {}
        for name, ask in wanted.items():
            await _roll_up(worker)
            found[name] = await _milliseconds(ask)
        return {**found, f"all_within_{GOAL_MS}": all(float(value or 0) <= GOAL_MS for value in found.values())}

    async def live_milliseconds(self) -> float | None:
        """How long it takes to count everything once; None where PostgreSQL gives up before."""
        begin = time.perf_counter()
        try:
            await self.ask(self.everybody, live_enrollments=EVERYTHING)
        except DatabaseUnavailable:
            return None
        return (time.perf_counter() - begin) * 1_000

    async def is_right(self) -> bool:
        """Whether a tenth of all comes out as it does when it is counted live."""
        cohort = self.part(0.88, 0.98)
        found, expected = await self.ask(cohort, "hour"), await self.ask(cohort, "hour", live_enrollments=EVERYTHING)
        return (
            found["as_of"] < found["computed_at"]
            and all(found[name] == expected[name] for name in EXACT)
            and all(abs(found[name] - expected[name]) < 0.1001 for name in WITHIN)
        )


async def measure(database_url: str, options: argparse.Namespace) -> dict[str, Results]:
    """One whole run: a workflow, its first roll-up, documents, and what changes cost."""
    await migrate(database_url)
    until = datetime.now(UTC)
    since = until - timedelta(days=options.days)
    worker = Database(database_url, size=1, sees_all_accounts=True)
    api = Database(database_url, size=1)
    workflow = Workflow(api, since, until)
    share = options.enrollments // 100
    try:
        begin = time.perf_counter()
        await fill(worker, options.enrollments, since, until)
        filled = time.perf_counter() - begin
        first = await _first_roll_up(worker)
        documents, live = await workflow.documents(worker), await workflow.live_milliseconds()
        nothing = await _roll_up(worker)
        await change(worker, share, since)
        spread = await _roll_up(worker)
        await change(worker, share, since + (until - since) * 0.95)
        latest = await _roll_up(worker)
        right = await workflow.is_right()
    finally:
        await worker.close()
        await api.close()
    return {
        "workload": {"enrollments": options.enrollments, "days": options.days, "fill_seconds": filled},
        f"document, ms, median of {RUNS}": documents,
        "without a roll-up, ms": {"all": live},
        "first roll-up": first,
        "roll-up of no change": nothing,
        "roll-up of 1 % changed, of all": spread,
        "roll-up of 1 % changed, of the latest twentieth": latest,
        "verdict": {"right": right},
    }


async def _first_roll_up(database: Database) -> Results:
    """Until everything has been counted once, which several refreshes share."""
    found = [await _roll_up(database)]
    while not await _is_complete(database):
        found.append(await _roll_up(database))
    seconds = [float(one["seconds"] or 0) for one in found]
    cpu = sum(float(one["postgresql_cpu_seconds"] or 0) for one in found)
    return {"refreshes": len(found), "seconds": sum(seconds), "longest": max(seconds), "postgresql_cpu_seconds": cpu}


async def _is_complete(database: Database) -> bool:
    async with database.connection() as connection:
        return bool(await connection.fetchval("select exists (select from rollups where as_of is not null)"))


async def _roll_up(database: Database) -> Results:
    backend = await Backend.of(database)
    postgresql, python, begin = backend.cpu_seconds(), time.process_time(), time.perf_counter()
    marked = await RollUp(database).refresh(between_seconds=0)
    return {
        "quarters_of_an_hour": marked,
        "seconds": time.perf_counter() - begin,
        "postgresql_cpu_seconds": backend.cpu_seconds() - postgresql,
        "python_cpu_seconds": time.process_time() - python,
    }


async def _milliseconds(ask: Callable[[], Awaitable[dict[str, Any]]]) -> float:
    """The median, once plans and pages are there. What was not rolled up does not count."""
    taken = []
    for _ in range(RUNS + 1):
        begin = time.perf_counter()
        found = await ask()
        taken.append((time.perf_counter() - begin) * 1_000)
        if found["as_of"] == found["computed_at"]:
            raise SystemExit("the roll-up is more than a minute old: the machine is too slow for this size")
    return median(taken[1:])


def main() -> None:
    parser = report.parser_with_services(__doc__, kafka=False)
    parser.add_argument("--enrollments", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=365, help="over which they entered")
    options = parser.parse_args()
    with services("", options.database) as (_, database_url):
        results = asyncio.run(measure(database_url, options))
    report.show("statistics", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
