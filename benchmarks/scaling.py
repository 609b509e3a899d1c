"""Measures what `scale_model` computes with: one worker, two workers, and what a settlement costs when few or many share it.

python -m benchmarks.scaling --json benchmarks/scaling.json [--events 300000] [--kafka HOST:PORT] [--database URL]
python -m benchmarks.scaling_page benchmarks/scaling.json > docs/scaling.md
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import ExitStack
from functools import partial
from typing import Any

from benchmarks import report, settlement
from benchmarks.compare import Comparison
from benchmarks.data_set import DataSet, data_set
from benchmarks.databases import Server, fresh_database
from benchmarks.run import goalstream_counts, run_to_the_end
from benchmarks.services import services
from benchmarks.worker import running_workers
from benchmarks.workload import EVENT_BYTES, console

TOGETHER = (20, 500)
"""How many achievements are settled in one go, when the fixed costs of a settlement are told from the others."""

MATCH_SHARE = 0.1
"""Of the events of one worker, from which the cost of an achievement is taken."""

SHARED_SHARE = 0.01
"""Of the events that one worker reads, and two."""


async def measure(kafka: str, server_url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything in one run; `right` is whether all of it was."""
    results: dict[str, Any] = {
        "command": f"python -m benchmarks.scaling {' '.join(sys.argv[1:])}",
        "event_bytes": EVENT_BYTES,
        "settlements": [],
        "workers": [],
    }
    for together in TOGETHER:
        console.print(f"settling {together} at a time")
        async with fresh_database(server_url) as url:
            given = argparse.Namespace(achievements=options.achievements, batch=together, seed=options.seed)
            found = await settlement.measure(url, given)
        cpu, written = found["cpu per achievement, us"], found["written per achievement, bytes"]
        results["settlements"].append(
            {
                "together": together,
                "python_us": cpu["python"],
                "postgres_us": cpu["postgresql"],
                "wal_bytes": written["write_ahead_log"],
                "disk_bytes": written["disk"],
                "right": found["verdict"]["right"],
            }
        )
    comparison = Comparison(kafka, server_url, await Server.find(server_url), _as_compare(options))
    await comparison.measure()
    results["runs"] = comparison.results["runs"]
    for count in (1, 2):
        results["workers"].append(await _read_by(count, kafka, server_url, options))
    results["right"] = all(one.get("right", True) for one in (*results["settlements"], *results["runs"]))
    return results


def _as_compare(options: argparse.Namespace) -> argparse.Namespace:
    return argparse.Namespace(
        systems="goalstream", events=options.events, slice_events=0, match_shares=[0, MATCH_SHARE], repeats=1,
        start_ups=3, kills=0, give_up_seconds=options.give_up_seconds, seed=options.seed, json=None,
    )  # fmt: skip


async def _read_by(count: int, kafka: str, server_url: str, options: argparse.Namespace) -> dict[str, Any]:
    """So many workers of one group read what there is; CPU with their start-up."""
    async with data_set(
        kafka,
        server_url,
        events=options.events,
        match_share=SHARED_SHARE,
        slice_events=0,
        seed=options.seed,
        give_up_seconds=options.give_up_seconds,
    ) as data:
        console.print(f"{count} of a group")
        with ExitStack() as others:
            first, *rest = others.enter_context(running_workers(data.workload.environment(), count))
            run = await run_to_the_end(
                first,
                _on_events(data),
                partial(goalstream_counts, data.database),
                rows=len(data.workload.hits),
                kills=0,
                seed=options.seed,
                give_up_seconds=options.give_up_seconds,
            )
            cpu_seconds = run.cpu_seconds + sum(worker.sample() for worker in rest)
    return {
        "workers": count,
        "events_per_second": options.events / run.seconds,
        "cpu_us_per_event": cpu_seconds / options.events * 1e6,
        "machine_busy_share": run.machine_busy_share,
    }


def _on_events(data: DataSet) -> Any:
    return data.observer.looking_at(data.workload.group, data.topics(sliced=False))


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--achievements", type=int, default=10_000, help="in each of the settlement runs")
    parser.add_argument("--give-up-seconds", type=int, default=600, help="for each run to be through")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, server_url):
        results = asyncio.run(measure(kafka, server_url, options))
    sections = {f"{one['together']} settled together": one for one in results["settlements"]}
    sections |= {f"{one['workers']} workers": one for one in results["workers"]}
    report.show("scaling", sections)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if results["right"] else 1)


if __name__ == "__main__":
    main()
