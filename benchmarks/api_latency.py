"""How long the API takes, alone and beside a worker that is busy, at a steady rate of requests.

python -m benchmarks.api_latency --rate 200 --busy-rate 50 --seconds 20 [--kafka HOST:PORT] [--database URL]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import httpx

from benchmarks import report
from benchmarks.services import services
from benchmarks.worker import WorkerProcess
from goalstream.api.tokens import issue_token
from goalstream.storage.migrate import migrate
from tests.services.broker import free_ports

WORKFLOWS = 40
GOALS_PER_WORKFLOW = 3
READ_SHARE = 0.8
START_SECONDS = 30
WARM_UP_SECONDS = 3
EVENTS_PER_SECOND = 2_000


@dataclass(slots=True)
class Answers:
    """Milliseconds from when a request was due to its whole answer, and what was answered."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Answers that are no success; a goal that somebody else has just changed is expected, and asked for again."""


@dataclass(slots=True)
class Goal:
    """A goal at one address, and the ETag that was last seen."""

    path: str
    etag: str
    is_active: bool = True


class Caller:
    """Somebody who reads and changes the goals of one account."""

    def __init__(self, client: httpx.AsyncClient, chance: Random) -> None:
        self._client = client
        self._chance = chance
        self._goals: list[Goal] = []
        self.answers = Answers()

    async def create_goals(self) -> None:
        """What is read and changed afterwards."""
        for _ in range(WORKFLOWS):
            goals = f"/api/v1/workflows/{_uuid(self._chance)}/goals"
            for number in range(GOALS_PER_WORKFLOW):
                body = {"goal_type": "form_submitted", "criteria": {"form_id": f"form-{number}"}}
                answer = (await self._client.post(goals, json=body)).raise_for_status()
                self._goals.append(Goal(answer.headers["location"], answer.headers["etag"]))

    async def call(self, rate: float, seconds: float) -> None:
        """Requests at a steady rate, whether or not the ones before are answered."""
        began, calls = time.perf_counter(), set[asyncio.Task[None]]()
        for number in range(round(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            is_read = self._chance.random() < READ_SHARE
            task = asyncio.create_task(self._read(due) if is_read else self._change(due))
            calls.add(task)
            task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)

    async def _read(self, due: float) -> None:
        goal = self._chance.choice(self._goals)
        workflow = goal.path.rsplit("/", 1)[0]
        path = self._chance.choice([goal.path, workflow, f"{workflow}/stats"])
        await self._timed(self.answers.reads, due, partial(self._client.get, path))

    async def _change(self, due: float) -> None:
        goal = self._chance.choice(self._goals)
        body, headers = {"is_active": not goal.is_active}, {"If-Match": goal.etag}
        change = partial(self._client.patch, goal.path, json=body, headers=headers)
        answer = await self._timed(self.answers.writes, due, change)
        if answer is not None:
            goal.etag, goal.is_active = answer.headers["etag"], not goal.is_active

    async def _timed(
        self, to: list[float], due: float, ask: Callable[[], Awaitable[httpx.Response]]
    ) -> httpx.Response | None:
        try:
            answer = await ask()
        except httpx.HTTPError as error:
            self.answers.others.append(type(error).__name__)
            return None
        to.append((time.perf_counter() - due) * 1e3)
        if answer.status_code == httpx.codes.PRECONDITION_FAILED:  # two of our own at once
            return None
        if not answer.is_success:
            self.answers.others.append(str(answer.status_code))
            return None
        return answer


async def measure(kafka: str, database_url: str, options: argparse.Namespace) -> dict[str, dict[str, report.Value]]:
    """One API, called at one rate while a worker beside it reads events, and at another when it is alone."""
    await migrate(database_url)
    results: dict[str, dict[str, report.Value]] = {}
    async with _api(database_url, options) as (api, client):
        caller = Caller(client, Random(options.seed))
        async with _busy_worker(kafka, database_url, options):  # first: it wants a database without goals
            await caller.create_goals()
            await caller.call(options.busy_rate, WARM_UP_SECONDS)
            results["beside a worker"] = await _phase(api, caller, options.busy_rate, options.seconds)
        results["alone"] = await _phase(api, caller, options.rate, options.seconds)
    results["verdict"] = {"right": not any(part["failed"] for part in results.values())}
    return results


async def _phase(api: WorkerProcess, caller: Caller, rate: float, seconds: float) -> dict[str, report.Value]:
    caller.answers, cpu_before = Answers(), api.sample()
    await caller.call(rate, seconds)
    answers = caller.answers
    found: dict[str, report.Value] = {"requests_per_second": rate}
    for name, times in (("read", sorted(answers.reads)), ("write", sorted(answers.writes))):
        for share in (50, 95, 99):
            found[f"{name}_p{share}_ms"] = times[len(times) * share // 100]
    found["share_of_one_core"] = (api.sample() - cpu_before) / seconds
    found["failed"] = ", ".join(sorted(set(answers.others)))
    return found


@asynccontextmanager
async def _api(
    database_url: str, options: argparse.Namespace
) -> AsyncIterator[tuple[WorkerProcess, httpx.AsyncClient]]:
    """A `goalstream api`, and a client of it."""
    (port,), secret = free_ports(1), secrets.token_hex(32)
    environment = {
        "GOALSTREAM_DATABASE_URL": database_url,
        "GOALSTREAM_JWT_SECRET": secret,
        "GOALSTREAM_HTTP_PORT": str(port),
        "GOALSTREAM_LOG_LEVEL": "warning",
    }
    token = issue_token(
        secret, account_id=_uuid(Random(options.seed)), subject="benchmark", scope="goals:read goals:write",
        expires_in_seconds=3_600, now=int(time.time()),
    )  # fmt: skip
    api = WorkerProcess(environment, ("goalstream", "api"))
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    headers = {"authorization": f"Bearer {token}"}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=30, trust_env=False
        ) as client:
            await _until_ready(client)
            yield api, client
    finally:
        api.close()


async def _until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get("/readyz")).is_success:
                    return
            await asyncio.sleep(0.1)


@asynccontextmanager
async def _busy_worker(kafka: str, database_url: str, options: argparse.Namespace) -> AsyncIterator[None]:
    """`benchmarks.latency` on the same services, in the middle of its events."""
    arguments: list[Any] = ["--rate", EVENTS_PER_SECOND, "--seconds", options.seconds + 30, "--kafka", kafka]
    command = [sys.executable, "-m", "benchmarks.latency", *map(str, arguments), "--database", database_url]
    busy = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.sleep(20)  # it creates goals, enrolls contacts, and starts its worker
        if busy.returncode is not None:
            raise SystemExit(f"benchmarks.latency ended early, exit code {busy.returncode}")
        yield
    finally:
        if busy.returncode is None:
            await busy.wait()
        if busy.returncode:
            raise SystemExit(f"benchmarks.latency failed, exit code {busy.returncode}")


def _uuid(chance: Random) -> str:
    digits = f"{chance.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def main() -> None:
    parser = report.parser_with_services(__doc__)
    parser.add_argument("--rate", type=float, default=200, help="requests per second while the API is alone")
    parser.add_argument("--busy-rate", type=float, default=50, help="and beside a worker of 2,000 events per second")
    parser.add_argument("--seconds", type=float, default=20, help="to measure, each time")
    options = parser.parse_args()
    with services(options.kafka, options.database) as (kafka, database_url):
        results = asyncio.run(measure(kafka, database_url, options))
    report.show("latency of the API", results)
    report.write_json(options.json, results)
    sys.exit(0 if results["verdict"]["right"] else 1)


if __name__ == "__main__":
    main()
