"""How long from a produced event to its achievement on the topic, at a steady rate.

python -m benchmarks.latency --rate 2000 --match-share 0.1 --seconds 30 [--kafka HOST:PORT] [--database URL]
python -m benchmarks.latency --workers 3 --rolling-restart --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.progress import Progress

from benchmarks import report
from benchmarks.services import Observer, services
from benchmarks.worker import MachineLoad, WorkerProcess, running_workers
from benchmarks.workload import PARTITIONS, Sender, Workload, console

BATCH_SECONDS = 0.005
START_SECONDS = 60
BETWEEN_RESTARTS_SECONDS = 5
LAST_SECONDS = 15
"""For what is still on its way at the end: longer than a sweeper leaves a message to its worker."""


class _Trigger(msgspec.Struct):
    event_id: str


class _Achieved(msgspec.Struct):
    """What is read of a published achievement."""

    trigger_event: _Trigger


@dataclass(slots=True)
class Stopwatch:
    """When each matching event was sent and its achievement consumed, in seconds of one monotonic clock."""

    sent: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, float] = field(default_factory=dict)
    repeated: int = 0

    def arrive(self, event_id: str) -> None:
        """The first message counts."""
        if event_id in self.arrived:
            self.repeated += 1
        else:
            self.arrived[event_id] = time.perf_counter()

    @property
    def missing(self) -> int:
        return len(self.sent.keys() - self.arrived.keys())

    def latencies_ms(self, since: float) -> list[float]:
        """Of events sent at or after a moment, ascending."""
        return sorted(
            (self.arrived[name] - at) * 1e3 for name, at in self.sent.items() if at >= since and name in self.arrived
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """What was true of the time that is measured."""

    since: float
    events: int
    seconds: float
    cpu_seconds: float
    latest_batch_ms: float
    machine_busy_share: float


@asynccontextmanager
async def nothing(workload: Workload) -> AsyncIterator[None]:
    """Goes on beside a run."""
    yield


async def measure(
    kafka: str,
    database_url: str,
    options: argparse.Namespace,
    beside: Callable[[Workload], AbstractAsyncContextManager[None]] = nothing,
) -> dict[str, dict[str, report.Value]]:
    """One whole run: workers that have read all enrollments, then events at a steady rate; `beside` begins before these."""
    events = round(options.rate * (options.warm_up + options.seconds))
    workload, stopwatch = Workload(kafka, database_url, seed=options.seed), Stopwatch()
    await workload.create_goals()
    await workload.create_topics()
    async with Observer(kafka, workload.prefix, workload.group) as observer:
        workload.plan_hits(round(events * options.match_share))
        await workload.send(workload.enrollments(), len(workload.hits), "enrolling")
        environment = workload.environment() | options.settings
        with running_workers(environment, options.workers, are_static=options.static_members) as workers:
            await _wait_until_enrolled(observer, options.workers)
            async with beside(workload), _achieved_consumer(workload) as consumer:
                reading = asyncio.create_task(_read(consumer, stopwatch))
                restarting = asyncio.create_task(_restart_in_turn(workers, observer, options))
                steady = await _produce(workload, stopwatch, workers, events, options)
                restarts = await restarting
                await _wait_for_the_last(stopwatch, reading)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            for worker in workers:
                worker.sample()
            exit_codes = [*restarts.exit_codes, *[await worker.stop() for worker in workers]]
    found = stopwatch.latencies_ms(steady.since)
    return {
        "workload": {
            "rate": options.rate,
            "match_share": options.match_share,
            "seed": options.seed,
            "workers": options.workers,
            "static_members": options.static_members,
            "restarts": len(restarts.exit_codes),
        },
        "produced to achieved, ms": {
            "p50": _percentile(found, 0.50),
            "p95": _percentile(found, 0.95),
            "p99": _percentile(found, 0.99),
            "max": found[-1] if found else None,
            "achievements_measured": len(found),
        },
        "workers": {
            "share_of_one_core": steady.cpu_seconds / steady.seconds,
            "us_per_event": steady.cpu_seconds / steady.events * 1e6,
            "max_rss_mb": max(worker.max_rss_bytes for worker in workers) / 1e6,
            "exit_codes": ", ".join(map(str, exit_codes)),
            "longest_stop_seconds": max(restarts.stop_seconds, default=None),
            "machine_busy_share": steady.machine_busy_share,
        },
        "producer": {
            "events_per_second": steady.events / steady.seconds,
            "latest_batch_ms": steady.latest_batch_ms,
        },
        "verdict": {
            "achievements_missing": stopwatch.missing,
            "messages_repeated": stopwatch.repeated,
            "right": not stopwatch.missing and not any(exit_codes) and restarts.seconds <= steady.seconds,
        },
    }


async def _wait_until_enrolled(observer: Observer, workers: int) -> None:
    """Until the workers consume and have acknowledged every enrollment."""
    ends = await observer.log_ends()
    async with asyncio.timeout(START_SECONDS):
        await observer.wait_until_consuming(START_SECONDS, workers=workers)
        while True:
            if await observer.committed() == ends:
                return
            await asyncio.sleep(0.1)


@dataclass(slots=True)
class Restarts:
    """Workers stopped and started again, one after the other, while events go on."""

    exit_codes: list[int] = field(default_factory=list)
    stop_seconds: list[float] = field(default_factory=list)
    """From each SIGTERM to the end of the process."""

    seconds: float = 0.0
    """From the first SIGTERM until the last one consumed again."""


async def _restart_in_turn(
    workers: Sequence[WorkerProcess], observer: Observer, options: argparse.Namespace
) -> Restarts:
    """After the warm-up, each worker once; the next one when the group has settled."""
    restarts = Restarts()
    if not options.rolling_restart:
        return restarts
    await asyncio.sleep(options.warm_up + BETWEEN_RESTARTS_SECONDS)
    began = time.perf_counter()
    for worker in workers:
        before = time.perf_counter()
        restarts.exit_codes.append(await worker.restart())
        restarts.stop_seconds.append(time.perf_counter() - before)
        await observer.wait_until_consuming(START_SECONDS, workers=len(workers))
        restarts.seconds = time.perf_counter() - began
        await asyncio.sleep(BETWEEN_RESTARTS_SECONDS)
    return restarts


async def _produce(
    workload: Workload,
    stopwatch: Stopwatch,
    workers: Sequence[WorkerProcess],
    events: int,
    options: argparse.Namespace,
) -> Steady:
    """Sends what is due every 5 ms; what comes before the end of the warm-up is sent and not measured."""
    matching = {hit.event_id for hit in workload.hits}
    sender = Sender(workload.kafka, workload.prefix, linger_ms=0)
    records = workload.events(events)
    warm_up = round(options.rate * options.warm_up)
    sent, latest, since, cpu_before = 0, 0.0, 0.0, 0.0
    gc.collect()
    gc.freeze()  # a collection over the whole workload would look like a latency
    with Progress(console=console, transient=True, refresh_per_second=1) as progress:
        task = progress.add_task("measuring", total=events)
        began = time.perf_counter()
        while sent < events:
            now = time.perf_counter()
            due = min(int((now - began) * options.rate), events)
            if not since and sent >= warm_up:
                since, measured_from, cpu_before, load = now, sent, _cpu_seconds(workers), MachineLoad()
            elif since and due > sent:
                latest = max(latest, now - (began + (sent + 1) / options.rate))
            for record in islice(records, due - sent):
                if record.event_id in matching:
                    stopwatch.sent[record.event_id] = time.perf_counter()
                sender.send(record)
            sent = due
            progress.update(task, completed=sent)
            await asyncio.sleep(BATCH_SECONDS)
        seconds = time.perf_counter() - since
        cpu_seconds, busy_share = _cpu_seconds(workers) - cpu_before, load.busy_share()
        sender.flush()
    return Steady(
        since=since,
        events=events - measured_from,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        latest_batch_ms=latest * 1e3,
        machine_busy_share=busy_share,
    )


def _cpu_seconds(workers: Sequence[WorkerProcess]) -> float:
    return sum(worker.sample() for worker in workers)


def _achieved_consumer(workload: Workload) -> AIOKafkaConsumer:
    """Reads from the beginning, since nothing is achieved before it starts; without a group, so that it is at once."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=workload.kafka, auto_offset_reset="earliest", enable_auto_commit=False
    )
    topic = f"{workload.prefix}workflow.goal.achieved"
    consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
    return consumer


async def _read(consumer: AIOKafkaConsumer, stopwatch: Stopwatch) -> None:
    decode = msgspec.json.Decoder(_Achieved).decode
    async for record in consumer:
        stopwatch.arrive(decode(record.value or b"").trigger_event.event_id)


async def _wait_for_the_last(stopwatch: Stopwatch, reading: asyncio.Task[None]) -> None:
    deadline = time.perf_counter() + LAST_SECONDS
    while True:
        if reading.done():
            await reading
        if not stopwatch.missing or time.perf_counter() > deadline:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # for repetitions


def _percentile(ascending: list[float], share: float) -> float | None:
    """The value that this share of all does not exceed."""
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)] if ascending else None


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--rate", type=float, default=2_000, help="events per second")
    parser.add_argument("--match-share", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=30, help="to measure")
    parser.add_argument("--warm-up", type=float, default=3, metavar="SECONDS", help="before that, at the same rate")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rolling-restart", action="store_true", help="restart each worker once meanwhile (SIGTERM)")
    parser.add_argument("--static-members", action="store_true", help="workers keep their names in the group")
    parser.set_defaults(settings={})
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, database_url):
        results = asyncio.run(measure(kafka, database_url, options))
    report.show("latency", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
