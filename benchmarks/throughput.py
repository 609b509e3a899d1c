"""CPU per event of one worker beside a bare loop in the same run, and whether everything is right afterwards.

python -m benchmarks.throughput --events 500000 --match-share 0.01 [--kills N] [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict
from functools import partial

from benchmarks import bare_loop, report
from benchmarks.run import goalstream_counts, run_to_the_end
from benchmarks.services import Observer, services
from benchmarks.verdict import judge
from benchmarks.worker import WorkerProcess, running_worker
from benchmarks.workload import Workload, console
from goalstream.storage.pool import Database
from goalstream.streams.topics import READ_TOPICS


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
            with running_worker(workload.environment()) as worker:
                run = await run_to_the_end(
                    worker,
                    observer,
                    partial(goalstream_counts, database),
                    rows=len(workload.hits),
                    kills=options.kills,
                    seed=options.seed,
                    give_up_seconds=options.give_up_seconds,
                )
                exit_code = await _stop(worker)
            verdict = await judge(workload, observer, database)
        finally:
            await database.close()
        console.print("the bare loop reads the same records")
        bare = await asyncio.to_thread(bare_loop.run, kafka, workload.prefix, records, READ_TOPICS)
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
            "exit_code": exit_code,
            "machine_busy_share": run.machine_busy_share,
        },
        "verdict": asdict(verdict) | {"right": verdict.is_right and exit_code == 0 and run.kills == options.kills},
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


async def _stop(worker: WorkerProcess) -> int:
    code = await worker.stop()
    if code:
        console.print(f"the worker ended with exit code {code}", style="red")
    return code


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
