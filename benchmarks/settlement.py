"""What a new achievement costs: CPU of Python and of PostgreSQL to store its match and to settle it, in batches.

python -m benchmarks.settlement --achievements 20000 --batch 500 [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from benchmarks import report
from benchmarks.backend import Backend
from benchmarks.raw_insert import raw_insert_seconds
from benchmarks.services import services
from benchmarks.workload import KINDS, Hit, Workload
from goalstream.domain.facts import EnrollmentStart, Match
from goalstream.domain.goals import GoalType
from goalstream.storage.ledger import Ledger
from goalstream.storage.pool import Database

LATENESS = timedelta(hours=72)
PAYLOAD = '{"contact_id":"%s","note":"............................................................","plan":"wanted"}'


async def measure(database_url: str, options: argparse.Namespace) -> dict[str, dict[str, report.Value]]:
    """One whole run: enrolled contacts, and then a match for each."""
    workload = Workload("", database_url, seed=options.seed)
    await workload.create_goals()
    workload.plan_hits(options.achievements)
    now = datetime.now(UTC)
    database = Database(database_url, size=1, sees_all_accounts=True)
    try:
        ledger = Ledger(database, allowed_lateness=LATENESS)
        backend = await Backend.of(database)
        starts = [_start(hit, now) for hit in workload.hits]
        for batch in _batches(starts, options.batch):
            await ledger.store(batch)
            await ledger.settle(batch)
        async with database.connection() as connection:
            await connection.execute("analyze")  # as autovacuum would have done by now
        matches = [_match(hit, now) for hit in workload.hits]
        gc.collect()
        gc.freeze()
        gc.disable()  # a worker's collector is tamed as well
        python, postgres, achieved = {"store": 0.0, "settle": 0.0}, {"store": 0.0, "settle": 0.0}, 0
        before = await _written(database)
        began = time.perf_counter()
        for batch in _batches(matches, options.batch):
            for step in ("store", "settle"):
                python_before, postgres_before = time.process_time(), backend.cpu_seconds()
                if step == "store":
                    await ledger.store(batch)
                else:
                    achieved += len((await ledger.settle(batch)).changes)
                python[step] += time.process_time() - python_before
                postgres[step] += backend.cpu_seconds() - postgres_before
        seconds = time.perf_counter() - began
        written = {name: after - before[name] for name, after in (await _written(database)).items()}
        raw_seconds, raw_rows = await raw_insert_seconds(database, options.achievements, options.batch)
    finally:
        await database.close()
    return {
        "workload": {"achievements": options.achievements, "batch": options.batch, "seed": options.seed},
        "cpu per achievement, us": {
            **{f"python_{step}": seconds / achieved * 1e6 for step, seconds in python.items()},
            "python": sum(python.values()) / achieved * 1e6,
            **{f"postgresql_{step}": seconds / achieved * 1e6 for step, seconds in postgres.items()},
            "postgresql": sum(postgres.values()) / achieved * 1e6,
        },
        "written per achievement, bytes": {name: size / achieved for name, size in written.items()},
        "beside a raw insert of the same rows": {
            "achievements_per_second": achieved / seconds,
            "raw_per_second": achieved / raw_seconds,
            "rows_per_achievement": raw_rows / achieved,
            "share": raw_seconds / seconds,
        },
        "verdict": {"achieved": achieved, "right": achieved == options.achievements},
    }


async def _written(database: Database) -> dict[str, int]:
    """Bytes of write-ahead log so far, and on disk with indexes; the outbox left out, which is empty in the end."""
    async with database.connection() as connection:
        row = await connection.fetchrow(
            """select (pg_current_wal_insert_lsn() - '0/0')::bigint as write_ahead_log,
                      (select sum(pg_total_relation_size(oid)) from pg_class
                        where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'outbox')::bigint as disk"""
        )
    assert row is not None
    return dict(row)


def _batches(facts: Sequence[EnrollmentStart] | Sequence[Match], size: int) -> list[Sequence[EnrollmentStart | Match]]:
    return [facts[first : first + size] for first in range(0, len(facts), size)]


def _start(hit: Hit, now: datetime) -> EnrollmentStart:
    return EnrollmentStart(
        account_id=hit.goal.account_id,
        enrollment_id=hit.enrollment_id,
        workflow_id=hit.goal.workflow_id,
        contact_id=hit.contact_id,
        entered_at=now - timedelta(hours=1),
        trigger_event_id=None,
        source="workflow.enrollment.started",
        event_id=hit.event_id,
        record_at=now,
    )


def _match(hit: Hit, now: datetime) -> Match:
    return Match(
        account_id=hit.goal.account_id,
        contact_id=hit.contact_id,
        workflow_id=hit.goal.workflow_id,
        goal_id=hit.goal.goal_id,
        goal_version=1,
        goal_type=GoalType(KINDS[hit.goal.topic][0]),
        source=hit.goal.topic,
        event_id=hit.event_id,
        event_type=hit.goal.topic,
        occurred_at=now,
        occurred_at_source="event",
        clock_ahead=False,
        record_at=now,
        data=PAYLOAD % hit.contact_id,
    )


def main() -> None:
    parser = report.parser_with_services(__doc__, kafka=False)
    parser.add_argument("--achievements", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500, help="matches that are settled together")
    options = parser.parse_args()
    with services("", options.database) as (_, database_url):
        results = asyncio.run(measure(database_url, options))
    report.show("settlement", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
