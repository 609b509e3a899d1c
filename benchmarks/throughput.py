"""CPU per event of one worker beside a bare loop in the same run, and whether everything is right afterwards.

python -m benchmarks.throughput --events 500000 --match-share 0.01 [--kills N] [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from dataclasses import asdict, dataclass

from rich.progress import Progress

from benchmarks import bare_loop, report
from benchmarks.services import Observer, services
from benchmarks.verdict import judge
from benchmarks.worker import MachineLoad, WorkerProcess, running_worker
from benchmarks.workload import Workload, console
from goalstream.storage.pool import Database

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a worker took to read everything that was there when it started."""

    cpu_seconds: float
    seconds: float
    max_rss_mb: float
    kills: int
    exit_code: int
    machine_busy_share: float


async def measure(kafka: str, database_url: str, options: argparse.Namespace) -> dict[str, dict[str, report.Value]]:
    """One whole run: an idle worker, the worker, the checks, the bare loop."""
    workload = Workload(kafka, database_url, seed=options.seed)
    await workload.create_goals()
    start_up = await _start_up_cpu_seconds(workload, options.seed)
    await workload.create_topics()
    async with Observer(kafka, workload.prefix, workload.group) as observer:
        workload.plan_hits(round(options.events * options.match_share))
        await workload.send(workload.enrollments(), len(workload.hits), "enrolling")
        await workload.send(workload.events(options.events), options.events, "producing")
        records = sum((await observer.log_ends()).values())
        database = Database(database_url, size=2, sees_all_accounts=True)
        try:
            await _analyze(database)
            console.print(f"{records:,} records are there; the worker starts")
            run = await _run_worker(workload, observer, database, records, options)
            verdict = await judge(workload, observer, database)
        finally:
            await database.close()
        console.print("the bare loop reads the same records")
        bare = await asyncio.to_thread(bare_loop.run, kafka, workload.prefix, records)
    bare_us = bare / records * 1e6
    # After a kill the start-up is in the CPU more than once, and some records were read twice.
    net_us = None if options.kills else (run.cpu_seconds - start_up) / records * 1e6
    return {
        "workload": {
            "events": options.events,
            "enrollments": len(workload.hits),
            "records": records,
            "kills_asked_for": options.kills,
            "seed": options.seed,
        },
        "cpu per record": {
            "worker_us": net_us,
            "bare_loop_us": bare_us,
            "ratio": None if net_us is None else net_us / bare_us,
        },
        "worker": {
            "cpu_seconds_with_start_up": run.cpu_seconds,
            "start_up_cpu_seconds": start_up,
            "seconds_from_consuming_to_done": run.seconds,
            "records_per_second": records / run.seconds,
            "max_rss_mb": run.max_rss_mb,
            "kills": run.kills,
            "exit_code": run.exit_code,
            "machine_busy_share": run.machine_busy_share,
        },
        "verdict": asdict(verdict) | {"right": verdict.is_right and run.exit_code == 0 and run.kills == options.kills},
    }


async def _start_up_cpu_seconds(idle: Workload, seed: int) -> float:
    """CPU of a worker with the same settings and goals up to readiness, on topics without a record."""
    workload = Workload(idle.kafka, idle.database_url, seed=seed)
    await workload.create_topics()
    async with Observer(workload.kafka, workload.prefix, workload.group) as observer:
        with running_worker(workload.environment()) as worker:
            await observer.wait_until_consuming()
            seconds = worker.sample()
            await worker.stop()
    return seconds


async def _run_worker(
    workload: Workload, observer: Observer, database: Database, records: int, options: argparse.Namespace
) -> Run:
    """Lets a worker read everything, killing it at random places on the way."""
    chance = random.Random(options.seed)
    places = sorted(chance.uniform(0.05, 0.95) * records for _ in range(options.kills))
    ends, kills = await observer.log_ends(), 0
    with running_worker(workload.environment()) as worker, Progress(console=console, transient=True) as progress:
        task = progress.add_task("deciding", total=records)
        deadline = time.monotonic() + options.give_up_seconds
        await observer.wait_until_consuming()
        began, load = time.monotonic(), MachineLoad()
        while True:
            cpu_seconds = worker.sample()
            committed = await observer.committed()
            done = sum(committed.values())
            progress.update(task, completed=done)
            achieved, outbox = await _counts(database)
            # Commits come every half second; rows show between them how far the worker is.
            reached = max(done, achieved / len(workload.hits) * records if workload.hits else 0)
            if places and reached >= places[0]:
                places.pop(0)
                await asyncio.sleep(chance.uniform(0, 2 * POLL_SECONDS))
                worker.kill_and_restart()
                kills += 1
            elif committed == ends and not outbox:
                break
            elif time.monotonic() > deadline:
                raise SystemExit(f"not done within {options.give_up_seconds} s: {done:,} of {records:,} committed")
            await asyncio.sleep(POLL_SECONDS)
        seconds = time.monotonic() - began
        return Run(
            cpu_seconds=cpu_seconds,
            seconds=seconds,
            max_rss_mb=worker.max_rss_bytes / 1e6,
            kills=kills,
            machine_busy_share=load.busy_share(),
            exit_code=await _stop(worker),
        )


async def _stop(worker: WorkerProcess) -> int:
    code = await worker.stop()
    if code:
        console.print(f"the worker ended with exit code {code}", style="red")
    return code


async def _counts(database: Database) -> tuple[int, int]:
    async with database.connection() as connection:
        row = await connection.fetchrow("select (select count(*) from achievements), (select count(*) from outbox)")
    assert row is not None
    return row[0], row[1]


async def _analyze(database: Database) -> None:
    """As autovacuum would have done long ago for a thousand goals."""
    async with database.connection() as connection:
        await connection.execute("analyze goal_versions")


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--match-share", type=float, default=0.01)
    parser.add_argument("--kills", type=int, default=0, help="kill -9 the worker so often on the way")
    parser.add_argument("--give-up-seconds", type=int, default=600, help="for the worker to be through")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, database_url):
        results = asyncio.run(measure(kafka, database_url, options))
    report.show("throughput", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
