"""The latency curves as a page with pictures.

python -m benchmarks.latency_page benchmarks/latency.json    writes LATENCY.md and the pictures beside it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RATES_PICTURE = "latency_by_rate.svg"
FETCH_WAITS_PICTURE = "latency_by_fetch_wait.svg"

_TOP = """\
# From an event to its achievement

One worker with its default settings, Kafka and PostgreSQL on the same machine; {share} of the events achieve a goal. Measured
is from the moment before an event is handed to the producer until its achievement has been consumed and decoded; {seconds:.0f} s
for each point, after a warm-up. *Core* is the worker's CPU as a share of one core.

![Latency by rate]({rates_picture})

"""

_FETCH_WAITS = """\

## The fetch wait

`GOALSTREAM_KAFKA_FETCH_MAX_WAIT_MS` is how long a broker may wait for `GOALSTREAM_KAFKA_FETCH_MIN_BYTES` before it answers a
fetch. A short wait brings events sooner, in smaller portions, each of which costs the worker a wake-up, a look-up and perhaps
two transactions; a long one the other way round. At {rate:,.0f} events a second:

![Latency by fetch wait]({fetch_waits_picture})

"""


def page(results: Mapping[str, Any]) -> str:
    """Markdown: what was measured, and how."""
    waits = results["fetch_waits"]
    parts = [
        _TOP.format(
            share=f"{results['match_share'] * 100:.3g} %", seconds=results["seconds"], rates_picture=RATES_PICTURE
        ),
        *_table("events a second", "rate", results["rates"]),
        _FETCH_WAITS.format(rate=waits["rate"], fetch_waits_picture=FETCH_WAITS_PICTURE),
        *_table("fetch wait, ms", "fetch_wait_ms", waits["points"]),
        f"\n```\n{results['command']}\npython -m benchmarks.latency_page benchmarks/latency.json\n```\n",
    ]
    return "".join(parts)


def _table(title: str, key: str, points: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {title} | p50 ms | p95 ms | p99 ms | max ms | core | achievements |\n|--:|--:|--:|--:|--:|--:|--:|\n"
    for point in points:
        times = " | ".join(f"{point[name]:,.0f}" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        mark = "" if point["right"] else " **incomplete**"
        yield f"| {point[key]:,} | {times} | {point['share_of_one_core']:.2f} | {point['achievements']:,}{mark} |\n"


def main() -> None:
    from benchmarks import plots

    source = Path(sys.argv[1])
    results = json.loads(source.read_text())
    (source.parent / "LATENCY.md").write_text(page(results))
    plots.latency(results["rates"], "rate", "events a second", source.parent / RATES_PICTURE)
    points = results["fetch_waits"]["points"]
    plots.latency(points, "fetch_wait_ms", "fetch wait, ms", source.parent / FETCH_WAITS_PICTURE)


if __name__ == "__main__":
    main()
