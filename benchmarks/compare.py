"""goalstream beside other programs that do the same job, on the same data in one run.

python -m benchmarks.compare --events 200000 --kills 5 --json benchmarks/results.json [--kafka HOST:PORT] [--database URL]
python -m benchmarks.page benchmarks/results.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import psutil

from benchmarks import bare_loop, report
from benchmarks.contenders import Contender, chosen
from benchmarks.data_set import DataSet, data_set
from benchmarks.databases import Server
from benchmarks.losses import Losses
from benchmarks.medians import merged
from benchmarks.run import Run, run_to_the_end, wait_until_consuming
from benchmarks.services import services
from benchmarks.workload import ACCOUNTS, EVENT_BYTES, GOALS_PER_ACCOUNT, PARTITIONS, console
from goalstream.streams.topics import EVENT_TOPICS

BARE_LOOP = "bare_loop"
BARE_LOOPS = 3
"""It takes a second; everything is compared with it, so it is its median."""


@dataclass(frozen=True, slots=True)
class StartUp:
    """CPU seconds until a group is stable, on topics without a record."""

    program: float
    postgres: float | None


class Comparison:
    """One whole run; `results` grows as it goes on, so that what was measured is there if it ends early."""

    def __init__(self, kafka: str, database_url: str, server: Server, options: argparse.Namespace) -> None:
        self._kafka = kafka
        self._database_url = database_url
        self._server = server
        self._options = options
        self._contenders = chosen(options.systems)
        self._start_ups: dict[str, StartUp] = {}
        self.results: dict[str, Any] = {
            "command": f"python -m benchmarks.compare {' '.join(sys.argv[1:])}",
            "versions": _versions(self._contenders) | {"PostgreSQL": server.version},
            "cores": psutil.cpu_count(),
            "workload": {
                "events": options.events,
                "slice_events": options.slice_events,
                "goals": ACCOUNTS * GOALS_PER_ACCOUNT,
                "topics": len(EVENT_TOPICS),
                "partitions": PARTITIONS,
                "event_bytes": EVENT_BYTES,
                "seed": options.seed,
                "repeats": options.repeats,
                "start_ups": options.start_ups,
            },
            "systems": {each.name: _described(each) for each in self._contenders}
            | {BARE_LOOP: {"title": "bare loop: read and decode", "packages": ["aiokafka", "msgspec"]}},
            "runs": [],
            "kills": [],
        }

    async def measure(self) -> None:
        """Start-ups, then every match share, as often as asked for, then the kills."""
        await self._measure_start_ups()
        for _ in range(self._options.repeats):
            for share in self._options.match_shares:
                async with self._data_set(self._options.events, share) as data:
                    await self._measure_share(data, share)
        if self._options.kills:
            async with self._data_set(self._options.events, self._options.kill_share) as data:
                await self._kill(data)

    def _data_set(self, events: int, share: float) -> AbstractAsyncContextManager[DataSet]:
        console.print(f"{events:,} events, {share:.1%} of which match")
        return data_set(
            self._kafka,
            self._database_url,
            events=events,
            match_share=share,
            slice_events=self._options.slice_events,
            seed=self._options.seed,
            give_up_seconds=self._options.give_up_seconds,
        )

    async def _measure_start_ups(self) -> None:
        """Several times, each on topics of their own: the median of them is subtracted later."""
        found: dict[str, list[StartUp]] = {each.name: [] for each in self._contenders}
        for _ in range(self._options.start_ups):
            async with self._data_set(0, 0) as data:
                for contender in self._contenders:
                    found[contender.name].append(await self._start_up(contender, data))
        for name, start_ups in found.items():
            postgres = [each.postgres for each in start_ups if each.postgres is not None]
            median = StartUp(
                statistics.median(each.program for each in start_ups), statistics.median(postgres) if postgres else None
            )
            self._start_ups[name] = median
            self.results["systems"][name]["start_up_cpu_seconds"] = median.program

    async def _start_up(self, contender: Contender, data: DataSet) -> StartUp:
        await contender.prepare(data)
        postgres_before = self._server.cpu_seconds()
        with contender.running(data) as program:
            await wait_until_consuming(program, contender.observer(data))
            return StartUp(program.sample(), _since(postgres_before, self._server.cpu_seconds()))

    async def _measure_share(self, data: DataSet, share: float) -> None:
        for contender in self._contenders:
            run, postgres_seconds, losses = await self._run(contender, data, kills=0)
            events, start_up = data.size(sliced=contender.is_slow), self._start_ups[contender.name]
            postgres_net = _since(start_up.postgres, postgres_seconds)
            result = {
                "us_per_event": (run.cpu_seconds - start_up.program) / events * 1e6,
                "postgres_us_per_event": None if postgres_net is None else postgres_net / events * 1e6,
                "max_rss_mb": run.max_rss_mb,
                "seconds": run.seconds,
                "machine_busy_share": run.machine_busy_share,
            }
            self._note("runs", contender.name, share, events, result, losses)
        console.print("bare loop")
        bare = [
            await asyncio.to_thread(bare_loop.run, self._kafka, data.workload.prefix, data.events, EVENT_TOPICS)
            for _ in range(BARE_LOOPS)
        ]
        result = {"us_per_event": statistics.median(bare) / data.events * 1e6}
        self._note("runs", BARE_LOOP, share, data.events, result, None)

    async def _kill(self, data: DataSet) -> None:
        for contender in self._contenders:
            run, _, losses = await self._run(contender, data, kills=self._options.kills)
            events = data.size(sliced=contender.is_slow)
            self._note("kills", contender.name, self._options.kill_share, events, {"kills": run.kills}, losses)

    async def _run(self, contender: Contender, data: DataSet, *, kills: int) -> tuple[Run, float | None, Losses]:
        console.print(f"{contender.title}{f', {kills} times kill -9' if kills else ''}")
        await contender.prepare(data)
        postgres_before = self._server.cpu_seconds()
        with contender.running(data) as program:
            run = await run_to_the_end(
                program,
                contender.observer(data),
                lambda: contender.count(data),
                rows=len(data.hits(sliced=contender.is_slow)),
                kills=kills,
                seed=self._options.seed,
                give_up_seconds=self._options.give_up_seconds,
            )
            postgres_seconds = _since(postgres_before, self._server.cpu_seconds())
        return run, postgres_seconds, await contender.judge(data)

    def _note(
        self, kind: str, name: str, share: float, events: int, result: dict[str, Any], losses: Losses | None
    ) -> None:
        verdict = {} if losses is None else {"verdict": asdict(losses), "right": losses.is_right}
        self.results[kind].append({"system": name, "match_share": share, "events": events} | result | verdict)
        if self._options.json is not None:
            self._options.json.write_text(json.dumps(self.results, indent=2) + "\n")


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _described(contender: Contender) -> dict[str, Any]:
    own, shared = contender.code_lines()
    return {
        "title": contender.title,
        "packages": list(contender.packages),
        "code_lines": own + shared,
        "code_lines_shared": shared,
        "reads_slice": contender.is_slow,
    }


def _versions(contenders: list[Contender]) -> dict[str, str]:
    packages = sorted({package for each in contenders for package in each.packages})
    return {"Python": platform.python_version()} | {package: version(package) for package in packages}


def _as_sections(results: dict[str, Any]) -> dict[str, dict[str, report.Value]]:
    """For standard output: CPU by match share, and what kill -9 cost."""
    sections: dict[str, dict[str, report.Value]] = {}
    for run in merged(results)["runs"]:
        title = f"us per event at {run['match_share']:.1%} matches"
        wrong = "" if run["right"] else " (WRONG)"
        sections.setdefault(title, {})[run["system"] + wrong] = run["us_per_event"]
    for run in results["kills"]:
        title = f"messages lost by {run['kills']} x kill -9"
        verdict = run["verdict"]
        sections.setdefault(title, {})[f"{run['system']}, of {verdict['messages_expected']:,}"] = verdict[
            "messages_missing"
        ]
    return sections


def _is_right(results: dict[str, Any]) -> bool:
    """Without kills everybody must be right, after them goalstream."""
    return all(run.get("right", True) for run in results["runs"]) and all(
        run["right"] for run in results["kills"] if run["system"] == "goalstream"
    )


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--slice-events", type=int, default=20_000, help="of them, for what is much slower")
    parser.add_argument(
        "--match-shares", type=_shares, default="0.001,0.01,0.1,1", metavar="SHARE,…", help="how many events match"
    )
    parser.add_argument("--systems", default="", metavar="NAME,…", help="only these")
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="how often, on new topics each time")
    parser.add_argument("--start-ups", type=int, default=3, metavar="N", help="how often to measure a start-up")
    parser.add_argument("--kills", type=int, default=0, help="then kill -9 each so often in a run of its own")
    parser.add_argument("--kill-share", type=float, default=0.1, metavar="SHARE", help="matches in those runs")
    parser.add_argument("--give-up-seconds", type=int, default=1_200, help="for each to be through")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, database_url):
        results = asyncio.run(_compare(kafka, database_url, options))
    report.show("compare", _as_sections(results))
    sys.exit(0 if _is_right(results) else 1)


async def _compare(kafka: str, database_url: str, options: argparse.Namespace) -> dict[str, Any]:
    comparison = Comparison(kafka, database_url, await Server.find(database_url), options)
    await comparison.measure()
    return comparison.results


def _shares(text: str) -> list[float]:
    return [float(share) for share in text.split(",")]


if __name__ == "__main__":
    main()
