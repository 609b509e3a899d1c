"""The API on a port of its own, as `goalstream api` runs it, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from goalstream.api import server
from goalstream.api.dead_letters import DeadLetters
from goalstream.api.events import Intake
from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from tests.conftest import ENCRYPTION_KEYS, JWT_SECRET

ACCOUNT = "aaaaaaaa-0000-4000-8000-000000000001"
PATIENCE_SECONDS = 20


def settings_of(database_url: str, **values: Any) -> Settings:
    usual = {
        "database_url": database_url,
        "jwt_secret": JWT_SECRET,
        "encryption_keys": ENCRYPTION_KEYS,
        "http_port": 0,
    }
    return Settings.model_validate(usual | values)


def bearer(account_id: str = ACCOUNT, *, scope: str = "goals:read goals:write") -> dict[str, str]:
    """The header of somebody who may read and write the goals of an account, unless something else is said."""
    token = issue_token(
        JWT_SECRET,
        account_id=account_id,
        subject="ada",
        scope=scope,
        expires_in_seconds=600,
        now=int(time.time()),
    )
    return {"authorization": f"Bearer {token}"}


@asynccontextmanager
async def serving(
    settings: Settings, *, intake: Intake | None = None, letters: DeadLetters | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Task[None]]]:
    """A client of a running API, and the task that runs it."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(server.serve(settings, intake=intake, letters=letters, on_listening=port.set_result))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (port.done() or task.done()):  # noqa: ASYNC110 - whichever comes first
                await asyncio.sleep(0.01)
        if task.done():
            await task
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{await port}", headers=bearer(), timeout=PATIENCE_SECONDS
        ) as client:
            yield client, task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until_ready(client: httpx.AsyncClient, wanted: Callable[[httpx.Response], bool]) -> httpx.Response:
    """The first answer of /readyz that is as wanted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            response = await client.get("/readyz")
            if wanted(response):
                return response
            await asyncio.sleep(0.02)
