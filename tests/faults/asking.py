"""Whether the API answers: requests that belong together, each of them to another of the processes that serve it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx

from tests.faults.judge import Findings
from tests.faults.stage import NotQuiet, Stage
from tests.faults.workers import WorkerProcess
from tests.integration.serving import bearer
from tests.services.broker import free_ports

READY_SECONDS = 30
ANSWER_SECONDS = 20
PAUSE_SECONDS = 0.2


class ApiProcess(WorkerProcess):
    """`goalstream api`, on a port of its own."""

    command = "api"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['GOALSTREAM_HTTP_PORT']}"


class Asker:
    """Asks for ever, whoever serves at the moment. Made by `asking`."""

    def __init__(self, here: Stage, folder: Path, client: httpx.AsyncClient, chance: Random) -> None:
        self._here = here
        self._folder = folder
        self._client = client
        self._chance = chance
        self._launched: list[ApiProcess] = []
        self._serving: list[ApiProcess] = []
        self.findings = Findings()
        self.answered: Counter[str] = Counter()

    def launch(self, name: str, *, tree: Path | None = None) -> ApiProcess:
        """Starts one more process that is to serve, of another tree if need be."""
        environment = self._here.environment() | {"GOALSTREAM_HTTP_PORT": str(free_ports(1)[0])}
        api = ApiProcess(name, environment, self._folder / f"{name}.log")
        if tree is not None:
            api.run_tree(tree)
        api.start()
        self._launched.append(api)
        return api

    async def ask(self, api: ApiProcess) -> None:
        """From now on it is asked as well; returns when it says that it is ready. Raises NotQuiet."""
        await self._until_ready(api)
        self._serving.append(api)
        self._here.note("serves", api=api.name)

    async def _until_ready(self, api: ApiProcess) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                if (await self._client.get(f"{api.url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            if time.monotonic() > deadline:
                raise NotQuiet(f"{api.name} was not ready within {READY_SECONDS} s")
            await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """SIGTERM to all; each must end with exit code 0."""
        for api in self._launched:
            try:
                code: int | str = await asyncio.to_thread(api.stop)
            except subprocess.TimeoutExpired:
                code = "none"
            if code:
                self.findings.limits_missed.append(f"{api.name} ended with exit code {code}")
            api.close()
        self._here.note("asked", answered=dict(self.answered))

    async def ask_for_ever(self) -> None:
        while True:
            if self._serving:
                await self._ask_about_a_goal()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _ask_about_a_goal(self) -> None:
        """What one process did the others know, and a request that is repeated elsewhere gets its first answer."""
        account_id, workflow_id, key = (str(UUID(int=self._chance.getrandbits(128), version=4)) for _ in range(3))
        goals = f"/api/v1/workflows/{workflow_id}/goals"
        body = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}
        once = bearer(account_id) | {"idempotency-key": key}
        made = [await self._ask("POST", goals, 201, headers=once, json=body) for _ in range(2)]
        if made[0] != made[1]:
            self.findings.wrong.append(f"a request that was repeated was answered {made[0]} and {made[1]}")
        if made[0] is None:
            return
        own, goal = bearer(account_id), f"{goals}/{made[0]['id']}"
        await self._ask("GET", goal, 200, headers=own)
        await self._ask("PATCH", goal, 200, headers=own | {"if-match": "*"}, json={"is_active": False})
        listed = await self._ask("GET", goals, 200, headers=own)
        if listed is not None and [(one["id"], one["version"]) for one in listed["goals"]] != [(made[0]["id"], 2)]:
            self.findings.wrong.append(f"the goals of a workflow are {listed}")
        await self._ask("GET", f"{goals}/stats", 200, headers=own)
        await self._ask("DELETE", goal, 204, headers=own | {"if-match": "*"})

    async def _ask(self, method: str, path: str, status: int, **request: Any) -> Any:
        """The document that is answered, by any of those who serve; None, and a finding, where it is no such answer."""
        asked = self._chance.choice(self._serving)
        try:
            answer = await self._client.request(method, asked.url + path, **request)
        except httpx.HTTPError as error:
            self.findings.lost.append(f"{asked.name} did not answer {method} {path}: {error!r}")
            return None
        self.answered[asked.name] += 1
        if answer.status_code != status:
            self.findings.wrong.append(
                f"{asked.name} answered {method} {path} {answer.status_code}: {answer.text[:300]}"
            )
            return None
        return answer.json() if answer.content else {}


@asynccontextmanager
async def asking(here: Stage, folder: Path, chance: Random) -> AsyncIterator[Asker]:
    """Asks from the beginning to the end of the block; the logs of those who serve go to the folder."""
    async with httpx.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as client:
        asker = Asker(here, folder, client, chance)
        task = asyncio.create_task(asker.ask_for_ever())
        try:
            yield asker
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asker.stop()
