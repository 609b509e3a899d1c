"""CPU per event of one worker, beside a bare consume-and-decode loop in the same run; and whether everything is right.

python -m benchmarks.throughput --events 500000 --match-share 0.01 [--kills 3] [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
from aiokafka import AIOKafkaConsumer
from rich.progress import Progress
from rich.table import Table

from benchmarks.workload import Workload, console, new_prefix, services
from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC
from goalstream.streams.topics import DEAD_LETTER, EVENT_TOPICS

GIVE_UP_SECONDS = 600
START_UP_SECONDS = 4
"""An idle worker has started after these; its CPU until then is subtracted, as is the bare loop's."""


async def main() -> None:
    options = _options()
    with services(options.kafka, options.database) as (kafka, database):
        report = await measure(kafka, database, options)
    _show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(0 if report["correct"] else 1)


async def measure(kafka: str, database: str, options: argparse.Namespace) -> dict[str, Any]:
    """One whole run: the worker, the checks, the bare loop."""
    start_up = await _start_up_seconds(kafka, database)
    workload = Workload(kafka, database, new_prefix(), options.seed)
    await workload.prepare(round(options.events * options.match_share))
    await workload.produce(options.events)
    worker = await _run_worker(workload, options.events, options.kills)
    checks = await _check(workload, options.events)
    bare = _run_bare_loop(kafka, workload.prefix, options.events)
    await workload.database.close()
    worker_us = (worker["cpu_seconds"] - start_up) / options.events * 1e6 if not options.kills else None
    return {
        "events": options.events,
        "match_share": options.match_share,
        "kills": options.kills,
        "worker_us_per_event": worker_us,
        "bare_loop_us_per_event": bare,
        "ratio": None if worker_us is None else worker_us / bare,
        "worker_start_up_seconds": start_up,
        **worker,
        **checks,
    }


async def _start_up_seconds(kafka: str, database: str) -> float:
    """CPU seconds that a worker takes to start, measured on topics without a record."""
    workload = Workload(kafka, database, new_prefix(), 0)
    await workload.prepare(0)
    process = workload.start_worker()
    await asyncio.sleep(START_UP_SECONDS)
    seconds = _cpu_seconds(psutil.Process(process.pid))
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 20)
    async with workload.database.connection() as connection:
        await connection.execute("delete from goal_versions")
    await workload.database.close()
    return seconds


async def _run_worker(workload: Workload, events: int, kills: int) -> dict[str, Any]:
    """Lets a worker read everything, killing it at random moments on the way."""
    chance = random.Random(workload.seed)
    moments = sorted(chance.uniform(0.05, 0.9) * events for _ in range(kills))
    process, began, memory, killed_seconds = workload.start_worker(), time.monotonic(), 0, 0.0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("deciding", total=events)
        while time.monotonic() - began < GIVE_UP_SECONDS:
            await asyncio.sleep(0.2)
            found = psutil.Process(process.pid)
            memory = max(memory, found.memory_info().rss)
            done = await workload.committed()
            progress.update(task, completed=done)
            achieved = await workload.count("achievements") / max(len(workload.hits), 1) * events
            if moments and max(done, achieved) >= moments[0]:
                moments.pop(0)
                killed_seconds += _cpu_seconds(found)
                process.kill()
                process.wait()
                process = workload.start_worker()
            elif done >= events and not await workload.count("outbox"):
                break
        else:
            raise SystemExit(f"the worker did not finish within {GIVE_UP_SECONDS} s")
    seconds = _cpu_seconds(psutil.Process(process.pid)) + killed_seconds
    wall = time.monotonic() - began
    process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 20)
    return {"cpu_seconds": seconds, "wall_seconds": wall, "max_rss_mb": memory / 1e6, "exit_code": code}


async def _check(workload: Workload, events: int) -> dict[str, Any]:
    """Whether every expected achievement is in the table and on its topics, and how often."""
    async with workload.database.connection() as connection:
        rows = await connection.fetch(
            "select enrollment_id::text, goal_id::text from achievements where revoked_at is null"
        )
    expected = {(hit.enrollment_id, hit.goal.goal_id) for hit in workload.hits}
    found = [(row[0], row[1]) for row in rows]
    achieved = await _read(workload, GOAL_ACHIEVED_TOPIC)
    exits = await _read(workload, GOAL_EXIT_TOPIC)
    published = {
        (document["workflow_enrollment_id"], document["goal_config_id"])
        for document in (msgspec.json.decode(value) for values in achieved.values() for value in values)
    }
    committed = await workload.committed()
    checks = {
        "expected": len(expected),
        "rows_missing": len(expected - set(found)),
        "rows_wrong_or_twice": len(found) - len(set(found) & expected),
        "messages_missing": len(expected - published) + (len(expected) - len(exits)),
        "messages_wrong": len(published - expected),
        "messages_repeated": sum(len(values) - 1 for values in (*achieved.values(), *exits.values())),
        "repeated_but_different": sum(len(set(values)) - 1 for values in (*achieved.values(), *exits.values())),
        "dead_letters": sum(map(len, (await _read(workload, DEAD_LETTER)).values())),
        "committed": committed,
        "left_in_outbox": await workload.count("outbox"),
    }
    wrong = ("rows_missing", "rows_wrong_or_twice", "messages_missing", "messages_wrong", "repeated_but_different")
    is_clean = not any(checks[name] for name in (*wrong, "dead_letters", "left_in_outbox"))
    return checks | {"correct": is_clean and committed == events}


async def _read(workload: Workload, topic: str) -> dict[str, list[bytes]]:
    """Everything on a topic, by `ce_id`."""
    consumer = AIOKafkaConsumer(
        workload.prefix + topic, bootstrap_servers=workload.kafka, auto_offset_reset="earliest", fetch_max_wait_ms=100
    )
    await consumer.start()
    try:
        found: dict[str, list[bytes]] = {}
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    name = dict(record.headers).get("ce_id", str((record.partition, record.offset)).encode())
                    found.setdefault(name.decode(), []).append(record.value)
        return found
    finally:
        await consumer.stop()


def _run_bare_loop(kafka: str, prefix: str, events: int) -> float:
    """CPU µs per event of a process that does nothing but read and decode the same records."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--bare-loop", kafka, prefix, str(events)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def _bare_loop(kafka: str, prefix: str, events: int) -> None:
    consumer = AIOKafkaConsumer(
        *(prefix + topic for topic in EVENT_TOPICS),
        bootstrap_servers=kafka,
        group_id=f"{prefix}bare",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=5,
        fetch_min_bytes=65_536,
    )
    await consumer.start()
    decode = msgspec.json.Decoder().decode
    usage = resource.getrusage(resource.RUSAGE_SELF)
    before, seen = usage.ru_utime + usage.ru_stime, 0
    while seen < events:
        for records in (await consumer.getmany(timeout_ms=1_000, max_records=10_000)).values():
            for record in records:
                decode(record.value)
            seen += len(records)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{(usage.ru_utime + usage.ru_stime - before) / seen * 1e6}\n")
    await consumer.stop()


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _show(report: dict[str, Any]) -> None:
    table = Table(title="throughput", box=None)
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in report.items():
        table.add_row(name.replace("_", " "), f"{value:,.2f}" if isinstance(value, float) else str(value))
    console.print(table)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--match-share", type=float, default=0.01)
    parser.add_argument("--kills", type=int, default=0, help="kill -9 the worker so often on the way")
    parser.add_argument("--kafka", help="brokers; by default one of our own")
    parser.add_argument("--database", help="postgresql://… of an empty database; by default one of our own")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the report there")
    return parser.parse_args()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bare-loop"]:
        asyncio.run(_bare_loop(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        asyncio.run(main())
