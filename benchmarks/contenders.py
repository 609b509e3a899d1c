"""What is compared: goalstream, and peers that do the same job with other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import asyncpg
import msgspec

from benchmarks.code_lines import count_in_files
from benchmarks.data_set import DataSet, create_topics
from benchmarks.losses import Losses, compare, of_goalstream
from benchmarks.run import Counts, goalstream_counts
from benchmarks.services import Observer
from benchmarks.verdict import judge
from benchmarks.worker import WorkerProcess, running_program, running_worker

HERE = Path(__file__).parent

MODULES = {"faust-streaming": "faust", "confluent-kafka": "confluent_kafka"}
"""What distributions are called in Python, where that differs."""


class Contender(Protocol):
    """A program that reads a data set's events once and is judged afterwards."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def packages(self) -> Sequence[str]:
        """Distributions whose versions matter."""

    @property
    def is_slow(self) -> bool:
        """It reads the slice only."""

    def code_lines(self) -> tuple[int, int]:
        """Its own lines of code, and those that it shares with others."""

    async def prepare(self, data: DataSet) -> None:
        """Makes what it needs, once for a data set."""

    def running(self, data: DataSet) -> AbstractContextManager[WorkerProcess]:
        """The program, which is gone after the block."""

    def observer(self, data: DataSet) -> Observer:
        """Its group on the topics that it reads."""

    async def count(self, data: DataSet) -> Counts:
        """How far it is."""

    async def judge(self, data: DataSet) -> Losses:
        """When it is through."""


class Goalstream:
    """A worker with default settings (no metrics port, log level warning)."""

    name = "goalstream"
    title = "goalstream"
    packages = ("goalstream", "faust-streaming", "aiokafka", "asyncpg")
    is_slow = False

    def code_lines(self) -> tuple[int, int]:
        """All of the product, with everything that is not this job."""
        return count_in_files((HERE.parent / "goalstream").rglob("*.py")), 0

    async def prepare(self, data: DataSet) -> None:
        """It has goals, enrollments and topics already."""

    def running(self, data: DataSet) -> AbstractContextManager[WorkerProcess]:
        return running_worker(data.workload.environment())

    def observer(self, data: DataSet) -> Observer:
        """On the events: the enrollments were read before."""
        return data.observer.looking_at(data.workload.group, data.topics(sliced=False))

    async def count(self, data: DataSet) -> Counts:
        return await goalstream_counts(data.database)

    async def judge(self, data: DataSet) -> Losses:
        return of_goalstream(await judge(data.workload, data.observer, data.database))


class _Achieved(msgspec.Struct):
    """What is read of a peer's message."""

    enrollment_id: str
    goal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A program in `benchmarks/peers`."""

    name: str
    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...]
    is_slow: bool = False

    def code_lines(self) -> tuple[int, int]:
        own, shared = (count_in_files([HERE / "peers" / f"{name}.py"]) for name in (self.name, "job"))
        return own, shared

    async def prepare(self, data: DataSet) -> None:
        """Its own topic; the peers before it leave their achievements behind."""
        await create_topics(data.workload.kafka, [self._achieved_topic(data)])
        await self._fetch(data, "truncate achievements")

    def running(self, data: DataSet) -> AbstractContextManager[WorkerProcess]:
        environment = {
            "PEER_KAFKA": data.workload.kafka,
            "PEER_DATABASE_URL": data.peers_url,
            "PEER_GROUP": self._group(data),
            "PEER_TOPICS": ",".join(data.topics(sliced=self.is_slow)),
            "PEER_ACHIEVED_TOPIC": self._achieved_topic(data),
        }
        return running_program(environment, self.command)

    def observer(self, data: DataSet) -> Observer:
        return data.observer.looking_at(self._group(data), data.topics(sliced=self.is_slow))

    async def count(self, data: DataSet) -> Counts:
        ((rows,),) = await self._fetch(data, "select count(*) from achievements")
        return Counts(rows, 0)

    async def judge(self, data: DataSet) -> Losses:
        expected = {(hit.enrollment_id, hit.goal.goal_id) for hit in data.hits(sliced=self.is_slow)}
        rows = await self._fetch(data, "select enrollment_id::text, goal_id::text from achievements")
        decode = msgspec.json.Decoder(_Achieved).decode
        messages = [decode(value) for _, value in await data.observer.read_all(self._achieved_topic(data))]
        observer = self.observer(data)
        left = sum((await observer.log_ends()).values()) - sum((await observer.committed()).values())
        return compare(
            expected,
            (tuple(row) for row in rows),
            ((message.enrollment_id, message.goal_id) for message in messages),
            not_committed=left,
        )

    def _group(self, data: DataSet) -> str:
        return data.workload.prefix + self.name

    def _achieved_topic(self, data: DataSet) -> str:
        return f"{data.workload.prefix}{self.name}.achieved"

    async def _fetch(self, data: DataSet, statement: str) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(data.peers_url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()


CONTENDERS: tuple[Contender, ...] = (
    Goalstream(),
    Peer(
        name="confluent_psycopg",
        title="confluent-kafka + psycopg by hand",
        command=("benchmarks.peers.confluent_psycopg",),
        packages=("confluent-kafka", "psycopg"),
    ),
    Peer(
        name="aiokafka_asyncpg",
        title="aiokafka + asyncpg by hand",
        command=("benchmarks.peers.aiokafka_asyncpg",),
        packages=("aiokafka", "asyncpg"),
    ),
    Peer(
        name="fast_stream",
        title="FastStream, batch subscriber",
        command=("benchmarks.peers.fast_stream",),
        packages=("faststream", "aiokafka", "asyncpg"),
    ),
    Peer(
        name="stock_faust",
        title="Faust with take()",
        command=("benchmarks.peers.stock_faust", "worker", "--without-web", "--loglevel", "warn"),
        packages=("faust-streaming", "aiokafka", "asyncpg"),
        is_slow=True,
    ),
)


def chosen(names: str) -> list[Contender]:
    """By their names with commas between, all for an empty string. Exits where one is unknown or not installed."""
    known = {contender.name: contender for contender in CONTENDERS}
    wanted = names.split(",") if names else list(known)
    if unknown := set(wanted) - known.keys():
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    found = [known[name] for name in wanted]
    if any(find_spec(MODULES.get(package, package)) is None for each in found for package in each.packages):
        raise SystemExit("what it is compared with is not installed: uv sync --group benchmarks")
    return found
