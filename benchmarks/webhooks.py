"""Whether webhooks delay the stream: the latency of achievements without any, and beside a deliverer that sends all of them to
endpoints which answer well, slowly, with 500, with garbage, never, or die; in turns, in one run.

python -m benchmarks.webhooks --rounds 4 --rate 200 [--seconds 20] [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

import psutil

from benchmarks import latency, report
from benchmarks.databases import fresh_database
from benchmarks.services import services
from benchmarks.worker import WorkerProcess
from benchmarks.workload import Workload, console
from goalstream.storage.pool import Database
from tests.integration.endpoints import KEY, add_endpoint
from tests.services.receiver import answer, dies, never, running_receiver, says, slowly

DELIVERER = ("goalstream", "deliverer")
TIMEOUT_SECONDS = 5
ENDPOINTS = {
    "/well": None,
    "/slow": slowly(2.0),
    "/500": says(answer(500)),
    "/garbage": says(b"no HTTP at all\r\n\r\n"),
    "/never": never,
    "/dies": dies,
}


async def measure(kafka: str, server_url: str, options: argparse.Namespace) -> dict[str, dict[str, report.Value]]:
    """Rounds without and with webhooks in turns, each on a database and topics of its own."""
    p50: dict[str, list[float]] = {"without": [], "with": []}
    p99: dict[str, list[float]] = {"without": [], "with": []}
    counts: dict[str, float] = {"requests": 0, "delivered": 0, "achievements": 0, "cpu_seconds": 0.0}
    is_right = True
    given = argparse.Namespace(
        **(vars(options) | {"workers": 1, "rolling_restart": False, "static_members": False, "settings": {}})
    )

    @asynccontextmanager
    async def sending(workload: Workload) -> AsyncIterator[None]:
        async with _endpoints(workload, counts):
            yield

    for number in range(options.rounds):
        for kind, beside in (("without", latency.nothing), ("with", sending)):
            console.print(f"round {number + 1} of {options.rounds}, {kind} webhooks")
            async with fresh_database(server_url) as url:
                found = await latency.measure(kafka, url, given, beside)
            times = found["produced to achieved, ms"]
            p50[kind].append(float(times["p50"] or 0))
            p99[kind].append(float(times["p99"] or 0))
            is_right &= bool(found["verdict"]["right"])
            if kind == "with":
                counts["achievements"] += int(found["produced to achieved, ms"]["achievements_measured"] or 0)
    return {
        "p99 of an achievement, ms": _compared(p99),
        "p50 of an achievement, ms": _compared(p50),
        "webhooks": {
            "kinds_of_endpoints": ", ".join(name[1:] for name in ENDPOINTS),
            "requests": counts["requests"],
            "delivered_to_the_good_ones": counts["delivered"],
            "achievements_meanwhile": counts["achievements"],
            "ms_cpu_of_the_deliverer_for_a_request": counts["cpu_seconds"] / max(counts["requests"], 1) * 1e3,
        },
        "verdict": {"right": is_right and counts["delivered"] > 0},
    }


def _compared(found: dict[str, list[float]]) -> dict[str, report.Value]:
    """Each round is a pair; the noise is what rounds without any webhook differ by among themselves."""
    ratios = [w / wo for w, wo in zip(found["with"], found["without"], strict=True)]
    return {
        "without": ", ".join(f"{one:.1f}" for one in found["without"]),
        "with": ", ".join(f"{one:.1f}" for one in found["with"]),
        "ratio_median": statistics.median(ratios),
        "ratios": ", ".join(f"{one:.2f}" for one in ratios),
        "noise_largest_by_smallest_without": max(found["without"]) / min(found["without"]),
    }


@asynccontextmanager
async def _endpoints(workload: Workload, counts: dict[str, float]) -> AsyncIterator[None]:
    """Each account has a webhook, of each kind as many; a deliverer sends to them, and a process of its own receives.

    Both have what CPU the stream leaves: they would have machines of their own.
    """
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    receiving = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
    receiving.start()
    port = await asyncio.to_thread(ours.recv)
    database = Database(workload.database_url, size=2, sees_all_accounts=True)
    accounts = sorted({goal.account_id for goal in workload.goals})
    for account_id, path in zip(accounts, cycle(ENDPOINTS), strict=False):
        await add_endpoint(database, f"http://127.0.0.1:{port}{path}", account_id=account_id)
    await database.close()
    environment = workload.environment() | {
        "GOALSTREAM_ENCRYPTION_KEYS": KEY,
        "GOALSTREAM_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
        "GOALSTREAM_WEBHOOK_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    }
    deliverer = WorkerProcess(environment, DELIVERER)
    for pid in (deliverer.pid, receiving.pid):
        psutil.Process(pid).nice(19)
    try:
        yield
        ours.send(None)
        requests, delivered = await asyncio.to_thread(ours.recv)
        counts["requests"] += requests
        counts["delivered"] += delivered
        counts["cpu_seconds"] += deliverer.sample()
    finally:
        await deliverer.stop()
        deliverer.close()
        receiving.kill()
        receiving.join()


def _receive(pipe: Connection[Any, Any]) -> None:
    """Tells its port, and when asked how many requests there were, and how many distinct messages came to the good ones."""

    async def run() -> None:
        async with running_receiver() as receiver:
            receiver.behaviours |= {path: behaviour for path, behaviour in ENDPOINTS.items() if behaviour is not None}
            pipe.send(receiver.port)
            await asyncio.to_thread(pipe.recv)
            pipe.send((sum(map(len, receiver.calls.values())), len(set(receiver.ids("/well")))))

    asyncio.run(run())


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="each without and with webhooks")
    parser.add_argument("--rate", type=float, default=200, help="events per second")
    parser.add_argument("--match-share", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=20, help="to measure, for each half of a round")
    parser.add_argument("--warm-up", type=float, default=10, metavar="SECONDS", help="before that, at the same rate")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, server_url):
        results = asyncio.run(measure(kafka, server_url, options))
    report.show("webhooks", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
