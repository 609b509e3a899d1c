"""Running the API: it waits for its database, says why, and stops without cutting anybody off."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from goalstream.api import server
from goalstream.errors import OperatorError, SettingsError
from goalstream.observability.connections import Impatient
from goalstream.storage.migrate import migrate
from tests.conftest import JWT_SECRET
from tests.integration.serving import PATIENCE_SECONDS, serving, settings_of, until_ready

GOALS = "/api/v1/workflows/bbbbbbbb-0000-4000-8000-000000000001/goals"
STOP_SECONDS = 15


async def test_a_goal_is_created_and_listed_over_a_real_connection(database_url: str) -> None:
    async with serving(settings_of(database_url)) as (client, _):
        await until_ready(client, lambda response: response.is_success)
        body = {"goal_type": "tag_added", "criteria": {"tag_name": "Purchased"}}
        created = await client.post(GOALS, json=body)
        assert created.status_code == 201
        assert (await client.get(GOALS)).json()["goals"] == [created.json()]
        assert "server" not in created.headers


async def test_answers_are_sent_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TCP_NODELAY the body of an answer waits until its head is acknowledged: 40 ms."""
    found: list[int] = []
    made = Impatient.connection_made

    def connection_made(self: Impatient, transport: Any) -> None:
        found.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(Impatient, "connection_made", connection_made)
    async with serving(settings_of(database_url)) as (client, _):
        await client.get("/livez")
    assert found
    assert all(found)


async def test_it_waits_for_the_migrations_and_says_so(empty_database_url: str) -> None:
    async with serving(settings_of(empty_database_url)) as (client, _):
        waiting = await until_ready(client, lambda response: "migrate" in response.text)
        assert waiting.status_code == 503
        assert "goalstream migrate" in waiting.json()["reasons"]["database"]
        assert (await client.get("/livez")).status_code == 200
        refused = await client.get(GOALS)
        assert (refused.status_code, refused.json()["error"]) == (503, "unavailable")
        await migrate(empty_database_url)
        await until_ready(client, lambda response: response.is_success)
        assert (await client.get(GOALS)).status_code == 200


async def test_it_stays_up_while_the_database_is_away() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"postgresql://goalstream@127.0.0.1:{silent.getsockname()[1]}/goalstream"
        async with serving(settings_of(url)) as (client, task):
            waiting = await until_ready(client, lambda response: "starting" not in response.text)
            assert waiting.status_code == 503
            refused = await client.get(GOALS)
            assert (refused.status_code, refused.headers["retry-after"].isdigit()) == (503, True)
            assert not task.done()


async def test_without_a_secret_it_says_what_to_do(database_url: str) -> None:
    with pytest.raises(SettingsError, match="GOALSTREAM_JWT_SECRET: is not set; choose"):
        await server.serve(settings_of(database_url, jwt_secret=None))


async def test_a_port_that_is_taken_is_told_in_one_line(database_url: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match=f"cannot listen on 127.0.0.1:{port}.*GOALSTREAM_HTTP_PORT"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await server.serve(settings_of(database_url, http_port=port))


async def test_inside_another_program_it_leaves_the_signals_alone(database_url: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(settings_of(database_url)) as (client, _):
        await client.get("/livez")
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_request_that_is_open_when_it_stops_is_finished(database_url: str) -> None:
    async with serving(settings_of(database_url)) as (client, task):
        await until_ready(client, lambda response: response.is_success)
        asked = asyncio.Event()

        async def slow_body() -> AsyncIterator[bytes]:
            yield b'{"goal_type": "form_submitted", '
            asked.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not task.cancelling():  # noqa: ASYNC110 - a task has no event for this
                    await asyncio.sleep(0.01)
            yield b'"criteria": {"form_id": "form-1"}}'

        headers = {"content-type": "application/json"}
        request = asyncio.create_task(client.post(GOALS, content=slow_body(), headers=headers))
        await asked.wait()
        task.cancel()
        response = await request
        assert response.status_code == 201
        async with asyncio.timeout(STOP_SECONDS):
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_ends_well_within_fifteen_seconds_of_a_signal(
    database_url: str, number: signal.Signals
) -> None:
    environment = {
        **os.environ,
        "GOALSTREAM_DATABASE_URL": database_url,
        "GOALSTREAM_JWT_SECRET": JWT_SECRET,
        "GOALSTREAM_HTTP_PORT": "0",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "goalstream", "api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        lines: list[bytes] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while b"listening on" not in (line := await process.stderr.readline()):
                assert line, b"".join(lines)
                lines.append(line)
        started = time.monotonic()
        process.send_signal(number)
        async with asyncio.timeout(STOP_SECONDS):
            rest = await process.stderr.read()
            assert await process.wait() == 0, rest
        assert time.monotonic() - started < STOP_SECONDS
        assert b"Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
