"""Latency and CPU over rates, and over the fetch wait: what waiting a little longer for more records costs, and saves.

python -m benchmarks.latency_curve --json benchmarks/latency.json [--rates 20,200,2000,5000] [--fetch-waits 1,5,20,50]
python -m benchmarks.latency_page benchmarks/latency.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from benchmarks import latency, report
from benchmarks.databases import fresh_database
from benchmarks.services import services
from benchmarks.workload import console

FETCH_WAIT = "GOALSTREAM_KAFKA_FETCH_MAX_WAIT_MS"


async def measure(kafka: str, server_url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Every rate at the default fetch wait, then every fetch wait at one rate; each on a database of its own."""
    results: dict[str, Any] = {
        "command": f"python -m benchmarks.latency_curve {' '.join(sys.argv[1:])}",
        "match_share": options.match_share,
        "seconds": options.seconds,
        "rates": [],
        "fetch_waits": {"rate": options.fetch_wait_rate, "points": []},
    }
    for rate in options.rates:
        results["rates"].append({"rate": rate} | await _point(kafka, server_url, options, rate, {}))
    for wait_ms in options.fetch_waits:
        point = await _point(kafka, server_url, options, options.fetch_wait_rate, {FETCH_WAIT: str(wait_ms)})
        results["fetch_waits"]["points"].append({"fetch_wait_ms": wait_ms} | point)
    return results


async def _point(
    kafka: str, server_url: str, options: argparse.Namespace, rate: float, settings: dict[str, str]
) -> dict[str, report.Value]:
    """One run of `benchmarks.latency`, with the settings beside the defaults."""
    console.print(f"{rate:,.0f} events a second {settings or ''}")
    given = argparse.Namespace(
        rate=rate,
        match_share=options.match_share,
        seconds=options.seconds,
        warm_up=options.warm_up,
        seed=options.seed,
        workers=1,
        rolling_restart=False,
        static_members=False,
        settings=settings,
    )
    async with fresh_database(server_url) as url:
        found = await latency.measure(kafka, url, given)
    times, workers = found["produced to achieved, ms"], found["workers"]
    return {
        "p50_ms": times["p50"],
        "p95_ms": times["p95"],
        "p99_ms": times["p99"],
        "max_ms": times["max"],
        "achievements": times["achievements_measured"],
        "share_of_one_core": workers["share_of_one_core"],
        "machine_busy_share": workers["machine_busy_share"],
        "right": found["verdict"]["right"],
    }


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--rates", type=_numbers, default=[20, 200, 2_000, 5_000], help="events per second")
    parser.add_argument("--fetch-waits", type=_numbers, default=[1, 5, 20, 50, 200], help="ms")
    parser.add_argument("--fetch-wait-rate", type=float, default=2_000, help="events per second for the fetch waits")
    parser.add_argument("--match-share", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=20, help="to measure, for each point")
    parser.add_argument("--warm-up", type=float, default=10, metavar="SECONDS", help="before that, at the same rate")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, server_url):
        results = asyncio.run(measure(kafka, server_url, options))
    points = [*results["rates"], *results["fetch_waits"]["points"]]
    report.show("latency", {_name(point): _shown(point) for point in points})
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if all(point["right"] for point in points) else 1)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def _name(point: dict[str, Any]) -> str:
    if "fetch_wait_ms" in point:
        return f"fetch wait {point['fetch_wait_ms']} ms"
    return f"{point['rate']:,} events a second"


def _shown(point: dict[str, Any]) -> dict[str, report.Value]:
    return {name: point[name] for name in ("p50_ms", "p95_ms", "p99_ms", "share_of_one_core", "right")}


if __name__ == "__main__":
    main()
