"""The goal table from one goal to a million: CPU of an event, memory, loading from PostgreSQL, pauses of the event loop.

python -m benchmarks.goal_table --goals 1,1000,1000000 --accounts 1,100000 [--database URL] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import multiprocessing
import statistics
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from typing import TypeVar

import psutil

from benchmarks import report
from benchmarks.many_goals import ManyGoals, Record
from benchmarks.pauses import LongestPause
from benchmarks.services import services
from goalstream.domain.goal_table import GoalTable
from goalstream.storage import goal_changes
from goalstream.storage.migrate import migrate
from goalstream.storage.pool import Database
from goalstream.streams.goal_cache import GoalCache
from goalstream.streams.outlines import outline_of
from goalstream.streams.topics import EVENT_TOPICS
from goalstream.streams.usual import usual_reader
from goalstream.worker import GoalSource, tame_garbage_collector

GOALS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
ACCOUNTS = (1, 1_000, 100_000)

ROUNDS = 5
"""How often the same events are judged; the median counts."""

POLL = 500
"""Events that are read together."""

CHANGED_AT_ONCE = 10
"""Goals that one refresh finds changed."""

RSS_FROM = 10_000
"""Fewer goals cannot be told from what else the process does with its memory."""

_Result = TypeVar("_Result")
Point = dict[str, report.Value]


class Worker:
    """As much of a worker as keeps a goal table, and the process around it."""

    def __init__(self, database_url: str) -> None:
        self.database = Database(database_url, size=2, sees_all_accounts=True)
        self.source = GoalSource(self.database)
        self.cache = GoalCache(self.source, activation_delay=timedelta(0))
        self._process = psutil.Process()

    async def start(self) -> None:
        """Makes what every worker has before it knows a goal."""
        await self.source.changes_since(sys.maxsize)
        tame_garbage_collector()

    async def load(self) -> None:
        """Reads all goals, as a worker does when it starts."""
        await self.cache.refresh()
        gc.freeze()

    def rss_bytes(self) -> int:
        """The memory of the process, without what is garbage."""
        gc.collect()
        return int(self._process.memory_info().rss)


def in_worker(database_url: str, work: Callable[[Worker], Awaitable[_Result]]) -> _Result:
    """Does something in a worker that knows no goal yet."""

    async def run() -> _Result:
        worker = Worker(database_url)
        await worker.start()
        try:
            return await work(worker)
        finally:
            await worker.database.close()

    return asyncio.run(run())


def weigh(database_url: str) -> int:
    """Bytes that Python was asked for and that the goals keep."""

    async def work(worker: Worker) -> int:
        tracemalloc.start()
        await worker.load()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    return in_worker(database_url, work)


def measure(database_url: str, goals: ManyGoals, events: int, match_share: float, changes: int) -> Point:
    """Loads the goals, judges events, changes goals, and judges the same events again."""

    async def work(worker: Worker) -> Point:
        loaded = await _load(worker, goals)
        records = list(goals.events(events, match_share))
        one_goal = GoalTable()
        one_goal.add((await goal_changes.changes_since(worker.database, 0, limit=1)).versions)
        judged = _judge(worker.cache.table, one_goal, records)
        changed = await _change(worker, goals, changes)
        after = _judge(worker.cache.table, one_goal, records)
        return loaded | judged | changed | {"slower_after_changes": after["slower"]}

    return in_worker(database_url, work)


async def _load(worker: Worker, goals: ManyGoals) -> Point:
    before, cpu, wall = worker.rss_bytes(), time.process_time(), time.perf_counter()
    async with LongestPause() as pause:
        await worker.load()
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    has_weight = goals.goals >= RSS_FROM
    return {
        "load_seconds": seconds,
        "load_cpu_seconds": cpu_seconds,
        "longest_pause_ms": pause.seconds * 1e3,
        "rss_bytes_per_goal": (worker.rss_bytes() - before) / goals.goals if has_weight else None,
        "is_complete": len(worker.cache.table) == goals.goals,
    }


def _judge(table: GoalTable, one_goal: GoalTable, records: Sequence[Record]) -> Point:
    """CPU of reading an event's outline and asking the table; taking turns with a table that holds the first goal only."""
    topics = [[record for record in records if record.topic == topic] for topic in EVENT_TOPICS]
    rounds = [(_cpu_us(one_goal, topics), _cpu_us(table, topics)) for _ in range(ROUNDS)]
    slower = statistics.median(full / one - 1 for one, full in rounds)
    one, full = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {"us_per_event": full, "us_per_event_with_one_goal": one, "slower": slower}


def _cpu_us(table: GoalTable, topics: Sequence[Sequence[Record]]) -> float:
    before = time.process_time()
    for records in topics:
        topic = records[0].topic
        read, could_match = usual_reader(topic), table.screen(topic)
        for first in range(0, len(records), POLL):
            usual = read(records[first : first + POLL])
            assert not usual.others
            for record, raw in zip(usual.records, usual.outlines, strict=True):
                if could_match(raw.account_id, raw.occurrence):
                    table.match(outline_of(raw, topic, record))
    return (time.process_time() - before) / sum(map(len, topics)) * 1e6


async def _change(worker: Worker, goals: ManyGoals, changes: int) -> Point:
    """Changes goals, some at a time, and lets the worker read them; the first time is not counted."""
    at_once = min(CHANGED_AT_ONCE, goals.goals)
    refreshes = changes // at_once
    longest = cpu = rss = 0.0
    for number in range(refreshes + 1):
        await goals.change(worker.database, at_once)
        async with LongestPause() as pause:
            before = time.process_time()
            await worker.cache.refresh()
            took = time.process_time() - before
        if number == 0:
            rss = worker.rss_bytes()
        else:
            longest, cpu = max(longest, pause.seconds), cpu + took
    return {
        "changes": refreshes * at_once,
        "ms_per_refresh": cpu / refreshes * 1e3,
        "longest_pause_of_a_refresh_ms": longest * 1e3,
        "rss_mb": rss / 2**20,
        "rss_bytes_per_change": (worker.rss_bytes() - rss) / (refreshes * at_once),
    }


async def _with_database(database_url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    database = Database(database_url, size=1, sees_all_accounts=True)
    try:
        await work(database)
    finally:
        await database.close()


async def _require_empty(database: Database) -> None:
    if (await goal_changes.changes_since(database, 0)).versions:
        raise SystemExit("the database has goals in it: a benchmark needs an empty one")


def _alone(work: Callable[..., _Result], *arguments: object) -> _Result:
    """Does something in a process of its own, whose memory nobody has used before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def _point(database_url: str, goals: ManyGoals, options: argparse.Namespace) -> Point:
    asyncio.run(_with_database(database_url, goals.write))
    weight = _alone(weigh, database_url)
    found = _alone(measure, database_url, goals, options.events, options.match_share, options.changes)
    return {"goals": goals.goals, "accounts": goals.accounts, "bytes_per_goal": weight / goals.goals} | found


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = report.parser_with_services(__doc__, kafka=False)
    parser.add_argument("--goals", type=_numbers, default=GOALS, metavar="N,N,…")
    parser.add_argument("--accounts", type=_numbers, default=ACCOUNTS, metavar="N,N,…", help="up to as many as goals")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--match-share", type=float, default=0.01)
    parser.add_argument("--changes", type=int, default=10_000, help="of goals, after loading")
    options = parser.parse_args()
    points: list[Point] = []
    with services("", options.database) as (_, database_url):
        asyncio.run(migrate(database_url))
        asyncio.run(_with_database(database_url, _require_empty))
        for accounts in options.accounts:
            for count in options.goals:
                if count >= accounts:
                    points.append(_point(database_url, ManyGoals(count, accounts, seed=options.seed), options))
                    report.show(f"{count:,} goals in {accounts:,} accounts", {"result": points[-1]})
                    report.write_json(options.json, points)
    sys.exit(0 if all(point["is_complete"] for point in points) else 1)


if __name__ == "__main__":
    main()
