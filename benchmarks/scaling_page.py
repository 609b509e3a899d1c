"""The scaling page: what was measured, and what follows from it for larger installations.

python -m benchmarks.scaling_page benchmarks/scaling.json > docs/scaling.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.scale_model import BUSY, SETTLEMENT_SECONDS, Constants, Cost, Load, headroom, needs

LOADS = [
    Load(events_per_second=1_000, match_share=0.01, partitions=4),
    Load(events_per_second=10_000, match_share=0.01, partitions=12),
    Load(events_per_second=100_000, match_share=0.01, partitions=100),
    Load(events_per_second=1_000_000, match_share=0.001, partitions=100),
    Load(events_per_second=1_000_000, match_share=0.01, partitions=100),
]
POSTGRES_CORES = (4, 16, 64)

_TOP = """\
# Scaling

A worker is one process and uses one core. Workers share the partitions of the topics; there may be as many as a topic has
partitions, and no worker needs to know of another. What does not grow by adding workers is PostgreSQL, which every achievement
passes; events that match nothing never reach it. So two questions decide: how many events come, and how many of them match.

## Measured

On one machine, Kafka and PostgreSQL beside the workers:

"""

_COMPUTED = """
## Computed

By `benchmarks/scale_model.py` from the figures above. No core is busier than {busy:.0%} on average: the rest is for bursts, for
catching up, and for a neighbour that fails. Achievements that arrive within {settlement_ms:.0f} ms at a worker are settled
together, in two transactions. *PostgreSQL cores* do nothing else. *Log* is the write-ahead log (without full-page images, which
add up to as much again after each checkpoint); *disk* is what achievements, matches and audit take with their indexes, until
retention removes them.

"""

_TEXT = """
More partitions than workers cost little; fewer cannot be worked around. Partitions cannot be added later without moving contacts
to other ones, so begin with several times as many as you need today. `GOALSTREAM_KAFKA_GROUP_ID` is one group for all workers.

Every worker holds every goal in memory, and asks PostgreSQL twice a second for changes: 50 workers ask 100 times a second, for
a look-up in an index that finds nothing.

## When one PostgreSQL is not enough

"""

_LAST = """
Before that: a faster disk for the write-ahead log, and `synchronous_commit` as your durability asks for. Larger batches come by
themselves, since a busier worker settles more together.

Beyond it there are two ways, and neither needs a change of goalstream:

- **A distributed PostgreSQL** (YugabyteDB and others that speak its protocol). Every primary key and every unique constraint
  begins with `account_id`, and the path of an event uses plain SQL only (`on conflict`, `for update`, `skip locked`, `unnest`),
  no foreign keys and no sequences that must be dense: accounts spread over nodes, and a transaction of one account stays on few
  of them. One settlement holds enrollments of many accounts, so it pays for a commit over several nodes.
- **One PostgreSQL per set of accounts**: a deployment for each set, with topics or a prefix of its own
  (`GOALSTREAM_KAFKA_TOPIC_PREFIX`), into which the CRM sends the accounts of that set. Nothing is shared, so nothing has to be
  agreed on; statistics and the API are asked at the deployment of the account. Choose this first: it is only more of the same.

Neither was run here: what is said of them follows from how the schema is made.
"""


def constants_of(results: Mapping[str, Any]) -> Constants:
    """What the model needs, from what was measured."""
    few, many = results["settlements"]
    python = Cost.through((few["together"], few["python_us"]), (many["together"], many["python_us"]))
    runs = {run["match_share"]: run["us_per_event"] for run in results["runs"] if run["system"] == "goalstream"}
    event_us = runs.pop(0)
    ((share, with_matches_us),) = runs.items()
    achievement_us = (with_matches_us - event_us) / share
    return Constants(
        event_us=event_us,
        python=python,
        # All that is not settlement: reading the event whole, two messages, their acknowledgement, the outbox.
        publish_us=max(achievement_us - python.of_each(many["together"]), 0),
        postgres=Cost.through((few["together"], few["postgres_us"]), (many["together"], many["postgres_us"])),
        wal_bytes=many["wal_bytes"],
        disk_bytes=many["disk_bytes"],
        event_bytes=results["event_bytes"],
    )


def page(results: Mapping[str, Any]) -> str:
    """Markdown; `results` are those of `benchmarks.scaling`."""
    constants = constants_of(results)
    parts = [_TOP, *_measured(results, constants)]
    parts.append(_COMPUTED.format(busy=BUSY, settlement_ms=SETTLEMENT_SECONDS * 1e3))
    parts += [*_computed(constants), _TEXT, *_headrooms(constants), _LAST]
    parts.append(
        f"\n```\n{results['command']}\npython -m benchmarks.scaling_page benchmarks/scaling.json > docs/scaling.md\n```\n"
    )
    return "".join(parts)


def _measured(results: Mapping[str, Any], constants: Constants) -> Iterator[str]:
    bare_us = min(run["us_per_event"] for run in results["runs"] if run["system"] == "bare_loop")
    yield _row(["what", "measured"]) + _row(["---", "--:"])
    yield _row(["worker, an event that matches nothing", f"{constants.event_us:.1f} µs"])
    yield _row(["a bare loop that reads and decodes it", f"{bare_us:.1f} µs"])
    for one in results["settlements"]:
        python, postgres = one["python_us"], one["postgres_us"]
        name = f"settling an achievement, {one['together']} at a time"
        yield _row([name, f"worker {python:.0f} µs, PostgreSQL {postgres:.0f} µs"])
    yield _row(["the event read whole, two messages, the outbox", f"worker {constants.publish_us:.0f} µs"])
    yield _row(["write-ahead log for an achievement", f"{constants.wal_bytes / 1e3:.1f} kB"])
    yield _row(["disk for an achievement", f"{constants.disk_bytes / 1e3:.1f} kB"])
    for one in results["workers"]:
        plural = "s" if one["workers"] > 1 else ""
        rate, cpu_us, busy = one["events_per_second"], one["cpu_us_per_event"], one["machine_busy_share"]
        what = f"{one['workers']} worker{plural} reading a backlog, 1 % matches"
        yield _row([what, f"{rate:,.0f} events/s, {cpu_us:.1f} µs each with start-up, machine {busy:.0%} busy"])
    yield "\n`python -m benchmarks.compare` and `benchmarks/README.md` say more about these figures.\n"


def _computed(constants: Constants) -> Iterator[str]:
    yield _row(["events/s", "matches", "achievements/s", "workers", "settled together", "PostgreSQL cores",
                "transactions/s", "log MB/s", "disk GB/day", "Kafka in MB/s"])  # fmt: skip
    yield _row(["--:"] * 10)
    for load in LOADS:
        need = needs(load, constants)
        workers = f"{need.workers}" if need.fits_partitions else f"{need.workers}, with as many partitions"
        yield _row(
            [
                f"{load.events_per_second:,.0f}", f"{load.match_share * 100:g} %",
                f"{load.events_per_second * load.match_share:,.0f}", workers, f"{need.settled_together:.0f}",
                f"{need.postgres_cores:.1f}", f"{need.transactions_per_second:,.0f}",
                f"{need.wal_megabytes_per_second:,.1f}", f"{need.disk_gigabytes_per_day:,.0f}",
                f"{need.kafka_megabytes_per_second:,.0f}",
            ]
        )  # fmt: skip


def _headrooms(constants: Constants) -> Iterator[str]:
    together = needs(LOADS[-1], constants).settled_together
    yield f"Computed, at {together:.0f} settled together and {BUSY:.0%} busy, for one primary:\n\n"
    yield _row(["cores of PostgreSQL", "achievements/s", "write-ahead log MB/s"]) + _row(["--:"] * 3)
    for cores in POSTGRES_CORES:
        rate = headroom(constants, cores, together)
        yield _row([f"{cores}", f"{rate:,}", f"{rate * constants.wal_bytes / 1e6:,.0f}"])
    yield "\nThe last column ends many a primary before its cores do: a disk has to write it, and every replica to follow.\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(page(json.loads(Path(sys.argv[1]).read_text())))
