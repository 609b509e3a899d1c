"""Runs rows one by one on a real Kafka and a real PostgreSQL.

python -m tests.faults [--only F16,F17] [--size ci|full] [--seed N] [--json FILE] [--stock-faust]

Rows that have no such size are named and left out. Exit code 1: a row is not clean.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.faults import stock_faust
from tests.faults.breakable import Breakable
from tests.faults.report import EXAMPLES, measured, merge, table
from tests.faults.rows import Result, Row, Size, rows, run_row
from tests.faults.workers import WorkerProcess
from tests.services.tiers import Tier, kafka_tier, postgres_tier, running_kafka, running_postgres

console = Console(stderr=True)


def main() -> None:
    options = _options()
    chosen = _chosen(options.only)
    if Tier.EMBEDDED in (kafka_tier(), postgres_tier()):
        sys.exit("faults need a real Kafka and a real PostgreSQL: see GOALSTREAM_TEST_SERVICES in the README")
    # What the product logs in this process, where some rows call it directly, is not what is looked for.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    left_out = [row for row in chosen if not row.has(options.size)]
    chosen = [row for row in chosen if row.has(options.size)]
    console.print(f"seed {options.seed}, size {options.size}, kafka={kafka_tier()} postgresql={postgres_tier()}")
    if options.stock_faust:
        WorkerProcess.module = stock_faust.MODULE
    results = []
    with ExitStack() as services:
        folder = Path(services.enter_context(tempfile.TemporaryDirectory(prefix="goalstream-faults-")))
        kafka = services.enter_context(running_kafka(folder)).bootstrap_servers
        postgres = services.enter_context(running_postgres(folder))
        breakable = services.enter_context(Breakable())
        for row in chosen:
            if not row.has(options.size):
                console.print(f"{row.fault} {row.title}: not run, full size only: {row.full_only}", highlight=False)
                continue
            result = _run(row, options, kafka, postgres, breakable)
            results.append(result)
            if options.json is not None:
                merge(options.json, result)
    Console(highlight=False).print(table(results, left_out, options.size))
    sys.exit(0 if all(result.is_clean for result in results) else 1)


def _run(row: Row, options: argparse.Namespace, kafka: str, postgres: str, breakable: Breakable) -> Result:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{row.fault} {row.title}", total=None)

        def show(step: str, done: float, total: float) -> None:
            progress.update(task, description=f"{row.fault} {step}", completed=int(done), total=int(total) or None)

        result = asyncio.run(
            run_row(
                row,
                options.size,
                options.seed,
                kafka=kafka,
                postgres=postgres,
                breakable=breakable,
                show=show,
                keep=options.keep,
            )
        )
    verdict = "[green]clean[/green]" if result.is_clean else "[red]not clean[/red]"
    console.print(f"{row.fault} {row.title}: {verdict}, {result.seconds:.1f} s", highlight=False, soft_wrap=True)
    console.print(f"  {measured(result)}", highlight=False, soft_wrap=True)
    if result.folder is not None:
        for sentence in result.outcome.findings.sentences()[:EXAMPLES]:
            console.print(f"  {sentence}", markup=False, soft_wrap=True)
        console.print(f"  logs, timeline and all findings: {result.folder}", soft_wrap=True)
    return result


def _chosen(only: str | None) -> Sequence[Row]:
    known = {row.fault: row for row in rows()}
    wanted = list(known) if only is None else [name.strip().upper() for name in only.split(",")]
    if missing := [name for name in wanted if name not in known]:
        sys.exit(f"no row {', '.join(missing)}; there are {', '.join(known)}")
    return [known[name] for name in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="F16,F17", help="these rows; by default all")
    parser.add_argument("--size", type=Size, choices=list(Size), default=Size.CI)
    parser.add_argument("--seed", type=int, default=1, help="of what is told, and when what happens")
    parser.add_argument("--json", type=Path, metavar="FILE", help="merge the results into this file")
    parser.add_argument("--keep", action="store_true", help="keep logs and timelines of clean rows too")
    parser.add_argument(
        "--stock-faust", action="store_true", help="the same worker on Faust as it comes, for comparison"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
