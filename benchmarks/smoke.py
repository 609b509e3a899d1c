"""Whether goalstream has become slower: its CPU per event beside the bare loop's, against what is stored in smoke.json.

python -m benchmarks.smoke             ends with 1 where the ratio is more than a fourth worse, three times in a row
python -m benchmarks.smoke --store     measures three times and stores the median
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from pathlib import Path

from benchmarks import report
from benchmarks.compare import BARE_LOOP, Comparison
from benchmarks.databases import Server
from benchmarks.services import services

STORED = Path(__file__).parent / "smoke.json"
WORSE = 1.25
TRIES = 3
"""Other programs on the machine make a try worse, hardly ever better."""


async def measure(kafka: str, database_url: str, options: argparse.Namespace) -> float:
    """One try: CPU of a worker per event, as a multiple of the bare loop's. Exits where something is not right."""
    comparison = Comparison(kafka, database_url, await Server.find(database_url), options)
    await comparison.measure()
    runs = {run["system"]: run for run in comparison.results["runs"]}
    if not runs["goalstream"]["right"]:
        raise SystemExit(f"not right: {runs['goalstream']['verdict']}")
    return float(runs["goalstream"]["us_per_event"] / runs[BARE_LOOP]["us_per_event"])


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--store", action="store_true", help="take what is measured as the new measure")
    parser.set_defaults(
        systems="goalstream", events=400_000, slice_events=0, match_shares=[0.01], repeats=1, start_ups=2, kills=0,
        give_up_seconds=120,
    )  # fmt: skip
    options = parser.parse_args()
    ratios: list[float] = []
    limit = None if options.store else json.loads(STORED.read_text())["ratio"] * WORSE
    with services(options.kafka, options.database) as (kafka, database_url):
        for _ in range(TRIES):
            ratios.append(asyncio.run(measure(kafka, database_url, options)))
            if limit is not None and ratios[-1] <= limit:
                break
    report.show("smoke", {"ratio to the bare loop": {f"try_{at}": ratio for at, ratio in enumerate(ratios, start=1)}})
    if limit is None:
        STORED.write_text(json.dumps({"ratio": round(statistics.median(ratios), 2)}) + "\n")
    elif min(ratios) > limit:
        sys.exit(f"slower: the ratio is {min(ratios):.2f} at best, and at most {limit:.2f} is allowed")


if __name__ == "__main__":
    main()
