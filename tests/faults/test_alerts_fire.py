"""A real Prometheus beside a real worker under load: its alerts fire while something is wrong, and clear afterwards.

With the very rules of deploy/prometheus, in a hundredth of the time: `for: 2m` is a second here.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.faults.breakable import Breakable
from tests.faults.busy_accounts import Crowd, status
from tests.faults.stage import PARTITIONS, Ground, Stage, stage
from tests.faults.workers import WorkerProcess
from tests.integration.builders import new_id
from tests.oracle.history import FORM_SUBMITTED, Record, milliseconds
from tests.services.broker import free_ports

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"
FASTER = 100
SHORTEST_SECONDS = 2
FIRES_SECONDS = 60
CLEARS_SECONDS = 120
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_LENGTH = re.compile(r"(?<=\[)(\d+)([mhd])(?=\])|^(\d+)([mhd])$")


def _faster(text: str) -> str:
    """Every length of time in an expression, a hundredth of it, and two seconds at the least."""
    return _LENGTH.sub(
        lambda found: f"{max(int(found[1] or found[3]) * _UNITS[found[2] or found[4]] // FASTER, SHORTEST_SECONDS)}s",
        text,
    )


def write_rules(folder: Path, targets: list[str]) -> Path:
    """The configuration of a Prometheus that looks every half second, and the rules, a hundred times faster."""
    for name in ("rules.yml", "alerts.yml"):
        document = yaml.safe_load((RULES / name).read_text())
        for group in document["groups"]:
            for rule in group["rules"]:
                rule["expr"] = _faster(rule["expr"])
                if "for" in rule:
                    rule["for"] = _faster(rule["for"])
        (folder / name).write_text(yaml.safe_dump(document))
    configuration: dict[str, Any] = yaml.safe_load((RULES / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    configuration["scrape_configs"] = [
        {"job_name": "goalstream-worker", "static_configs": [{"targets": targets}]},
    ]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(configuration))
    return path


class Prometheus:
    """A running one, and which alerts it fires."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def firing(self) -> set[str]:
        answer = (await self._client.get("/api/v1/alerts")).raise_for_status().json()
        return {one["labels"]["alertname"] for one in answer["data"]["alerts"] if one["state"] == "firing"}

    async def until(self, name: str, *, fires: bool) -> None:
        """Waits until an alert fires, or does not any more."""
        seconds = FIRES_SECONDS if fires else CLEARS_SECONDS
        try:
            async with asyncio.timeout(seconds):
                while (name in await self.firing()) is not fires:  # noqa: ASYNC110 - it has to be asked
                    await asyncio.sleep(0.25)
        except TimeoutError:
            raise AssertionError(f"{name} {'does not fire' if fires else 'still fires'} after {seconds} s") from None


@asynccontextmanager
async def prometheus(folder: Path, targets: list[str]) -> AsyncIterator[Prometheus]:
    """A Prometheus that looks at these addresses, until the end of the block."""
    (port,) = free_ports(1)
    configuration = write_rules(folder, targets)
    command = [
        "prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=folder)  # noqa: ASYNC220 - returns at once
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            async with asyncio.timeout(30):
                while True:
                    try:
                        if (await client.get("/-/ready")).is_success:
                            break
                    except httpx.TransportError:
                        pass
                    await asyncio.sleep(0.1)
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def breakable() -> Iterator[Breakable]:
    with Breakable() as services:
        yield services


async def _load(here: Stage, account_id: str) -> None:
    """A few events all the time."""
    chance = Random(1)
    crowd = Crowd(chance)
    while True:
        for record in crowd.event(account_id, datetime.now(UTC)):
            here.topics.send(record, chance.randrange(PARTITIONS))
        await asyncio.sleep(0.05)


def _bad(count: int) -> list[tuple[Record, int]]:
    now = milliseconds(datetime.now(UTC))
    return [(Record(topic=FORM_SUBMITTED, timestamp=now, key=None, value=b"{", headers=()), 0) for _ in range(count)]


@pytest.mark.real_kafka
@pytest.mark.timeout(600)
async def test_alerts_fire_while_something_is_wrong_and_clear_afterwards(
    kafka_servers: str, postgres_url: str, breakable: Breakable, tmp_path: Path
) -> None:
    assert shutil.which("prometheus"), "install the Debian package prometheus"
    server = await asyncio.to_thread(breakable.postgres)
    ground = Ground(
        kafka=kafka_servers, postgres=server.url, breakable=breakable, folder=tmp_path, show=lambda *_: None
    )
    async with stage(ground, "alerts") as here:
        ports = free_ports(2)
        workers = [here.new_worker(WorkerProcess, metrics_port=str(port)) for port in ports]
        for worker in workers:
            worker.start()
        await here.until_consuming()
        account_id = new_id()
        await here.tell([(status(Random(1), account_id), 0)])
        folder = tmp_path / "prometheus"
        folder.mkdir()
        async with prometheus(folder, [f"127.0.0.1:{port}" for port in ports]) as watcher:
            load = asyncio.create_task(_load(here, account_id))
            await watcher.until("GoalstreamNoWorker", fires=True)  # nobody has been looked at yet
            await watcher.until("GoalstreamNoWorker", fires=False)
            await asyncio.sleep(SHORTEST_SECONDS)
            assert await watcher.firing() == set(), "all is well"

            await here.tell(_bad(20))
            await watcher.until("GoalstreamDeadLetters", fires=True)
            await watcher.until("GoalstreamDeadLetters", fires=False)

            await asyncio.to_thread(server.stop_at_once)
            await watcher.until("GoalstreamDatabaseAway", fires=True)
            await asyncio.to_thread(server.revive)
            await watcher.until("GoalstreamDatabaseAway", fires=False)

            for worker in workers:
                worker.kill()
            await watcher.until("GoalstreamNoWorker", fires=True)
            for worker in workers:
                worker.start()
            await watcher.until("GoalstreamNoWorker", fires=False)
            load.cancel()
            await asyncio.gather(load, return_exceptions=True)
        await here.stop_workers()
