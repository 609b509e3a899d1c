"""The results of a comparison as a page for people, with its pictures.

python -m benchmarks.page benchmarks/results.json    writes RESULTS.md and the pictures beside it
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.medians import merged

CPU_PICTURE = "cpu_per_event.svg"
KILLS_PICTURE = "messages_lost.svg"

_TOP = """\
# What the same job costs elsewhere

Five topics, {partitions} partitions each, hold {events:,} events of {event_bytes} bytes. A share of them matches one of {goals:,} goals; such
a match is joined with the contact's enrollment in PostgreSQL, recorded once (`insert … on conflict do nothing returning`), and
what is new is published with `acks=all`; then the offsets are committed. Every program reads the same events in one process,
one after the other, in one run. The peers are in [`peers/`](peers), each written as the documentation of its library advises,
with at most 1,000 events in a batch.

They do that job and no more. goalstream's worker, with its default settings, checks every record against the contract, judges
it by the goal versions in force when it occurred, stores the match as a fact, settles it by enrollment, window and workflow,
writes an audit row, and sends two messages for each achievement, through an outbox. It also reads enrollments from a topic;
here it has read them before, and the peers find them in a table.

"""

_HOW = """\
*CPU* is user and system time of a program and its children, less what its start-up takes on empty topics, divided by the
events; neither Kafka nor PostgreSQL is in it. In brackets: as a multiple of the bare loop, which fetches the same events with
aiokafka, decodes them, and does nothing else. Compare the multiples between machines, not the µs. *Memory* is the most that
was resident, at any share. *Lines* are lines of code without blank ones, comments and docstrings, imports and settings
included; {shared} of them are shared by all peers. In square brackets: the whole product, which nobody has to write.

Where few events match, the cost is that of reading and decoding. Where most match, it is that of what is done for a match, and
goalstream does several times as much for one as the peers: that is the price of what they leave out.
"""

_KILLS = """\

## What kill -9 costs

Each program was killed with `kill -9` and started again, {kills} times at random places, while {share} of the events matched.
*Lost* is what is missing when everything has been read and committed. A message is lost for good when a program dies between the
commit of PostgreSQL and the acknowledgement of Kafka: the event comes again, its row is there already, nothing is returned,
nothing is sent. goalstream writes messages into the transaction that makes them true, and whoever starts next sends
them. A repeated message is no fault: delivery is at least once, and each has a stable id.

How many are lost depends on where a kill falls; another seed gives other figures.

"""


def page(results: Mapping[str, Any]) -> str:
    """Markdown: what the comparison measured, and how; `results` has one run for each system and match share."""
    parts = [_TOP.format(**results["workload"]), f"![CPU per event by match share]({CPU_PICTURE})\n\n"]
    parts += _cpu_table(results)
    parts += ["\n", _how(results), *_notes(results)]
    parts += ["\n## What PostgreSQL does for it\n\nCPU of the server's processes, measured alike.\n\n"]
    parts += _postgres_table(results)
    if results["kills"]:
        parts += _kills(results)
    parts += [_source(results)]
    return "".join(parts)


def _cpu_table(results: Mapping[str, Any]) -> Iterator[str]:
    """A row for each system, a column for each match share and a few more."""
    shares, bare = _shares(results), _runs_of(results, "bare_loop")
    yield from _head("CPU µs per event", [*map(_percent, shares), "lines", "memory, MB"])
    for name, system in results["systems"].items():
        runs = _runs_of(results, name)
        cells = [f"{runs[share]['us_per_event']:,.1f}" for share in shares]
        if name != "bare_loop":
            multiples = [runs[share]["us_per_event"] / bare[share]["us_per_event"] for share in shares]
            marks = ["" if runs[share]["right"] else " **wrong**" for share in shares]
            cells = [f"{us} ({by:,.1f}){mark}" for us, by, mark in zip(cells, multiples, marks, strict=True)]
            cells += [_lines(name, system), f"{max(run['max_rss_mb'] for run in runs.values()):,.0f}"]
        yield _row([system["title"], *cells])


def _postgres_table(results: Mapping[str, Any]) -> Iterator[str]:
    """The same of the database; empty where its processes could not be seen."""
    shares = _shares(results)
    yield from _head("PostgreSQL µs per event", [_percent(share) for share in shares])
    for name, system in results["systems"].items():
        figures = [run["postgres_us_per_event"] for _, run in sorted(_runs_of(results, name).items())]
        if name != "bare_loop":
            yield _row([system["title"], *("" if us is None else f"{us:,.1f}" for us in figures)])


def _shares(results: Mapping[str, Any]) -> list[float]:
    return sorted({run["match_share"] for run in results["runs"]})


def _runs_of(results: Mapping[str, Any], system: str) -> dict[float, Mapping[str, Any]]:
    """By match share."""
    return {run["match_share"]: run for run in results["runs"] if run["system"] == system}


def _lines(name: str, system: Mapping[str, Any]) -> str:
    return f"[{system['code_lines']:,}]" if name == "goalstream" else f"{system['code_lines']:,}"


def _how(results: Mapping[str, Any]) -> str:
    return _HOW.format(shared=max(system.get("code_lines_shared", 0) for system in results["systems"].values()))


def _notes(results: Mapping[str, Any]) -> Iterator[str]:
    workload, runs = results["workload"], results["runs"]
    if slow := [system["title"] for system in results["systems"].values() if system.get("reads_slice")]:
        events = workload["slice_events"]
        yield f"\n{' and '.join(slow)}, much slower, read only the first {events:,} events, from topics of their own.\n"
    busy = statistics.median(run["machine_busy_share"] for run in runs if run["machine_busy_share"] is not None)
    yield (
        f"\nMedians of {workload['repeats']} runs, each on new topics with the same events; they differed by up to "
        f"{_percent(max(run['spread'] for run in runs))}.\nThe {results['cores']} cores, with Kafka and PostgreSQL on them, "
        f"were busy to {_percent(busy)} in the median, other programs included.\n"
    )
    if not all(run["right"] for run in runs):
        yield "\n**wrong**: without any kill, rows or messages were missing or too many.\n"


def _kills(results: Mapping[str, Any]) -> Iterator[str]:
    first = results["kills"][0]
    yield _KILLS.format(kills=first["kills"], share=_percent(first["match_share"]))
    yield f"![Messages lost]({KILLS_PICTURE})\n\n"
    yield from _head("", ["messages expected", "lost", "repeated", "rows expected", "lost", "too many"])
    for run in results["kills"]:
        verdict = run["verdict"]
        counts = [
            verdict[count]
            for count in (
                "messages_expected", "messages_missing", "messages_repeated",
                "rows_expected", "rows_missing", "rows_unexpected",
            )
        ]  # fmt: skip
        yield _row([results["systems"][run["system"]]["title"], *(f"{count:,}" for count in counts)])


def _source(results: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"\n## Where this is from\n\n{versions}.\n\n"
        f"```\n{results['command']}\npython -m benchmarks.page benchmarks/results.json\n```\n\n"
        "`uv sync --group benchmarks` installs the peers' libraries. [README.md](README.md) says what each figure is.\n"
    )


def _head(first: str, others: Sequence[str]) -> Iterator[str]:
    yield _row([first, *others])
    yield _row(["---", *("--:" for _ in others)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def main() -> None:
    from benchmarks import plots

    source = Path(sys.argv[1])
    results = merged(json.loads(source.read_text()))
    (source.parent / "RESULTS.md").write_text(page(results))
    plots.cpu_per_event(results, source.parent / CPU_PICTURE)
    if results["kills"]:
        plots.messages_lost(results, source.parent / KILLS_PICTURE)


if __name__ == "__main__":
    main()
