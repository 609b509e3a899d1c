"""What holds for every request, over real connections: limits, headers, ids, and log lines that tell nothing they must not."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog

from goalstream.api import hardening
from goalstream.api.app import create_app
from goalstream.config import load_settings
from goalstream.errors import SettingsError
from goalstream.observability.connections import MAX_HEAD_BYTES, Impatient
from goalstream.observability.logs import configure_logs
from goalstream.storage.goals import GoalBook
from goalstream.storage.pool import Database
from tests.integration.serving import PATIENCE_SECONDS, bearer, serving, settings_of, until_ready

GOALS = "/api/v1/workflows/bbbbbbbb-0000-4000-8000-000000000001/goals"
TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "Mrs Secret"}}
PAGE = "https://app.example.com"


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings_of(database_url)) as (found, _):
        await until_ready(found, lambda response: response.is_success)
        yield found


@pytest.fixture
def log_lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Every line that was logged, as the program writes it."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers = list(root.handlers)
    configure_logs("json", "debug")
    formatter = root.handlers[0].formatter
    found: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert formatter is not None
            found.append(formatter.format(record))

    root.handlers[:] = [Keeping()]
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


async def raw(client: httpx.AsyncClient, *parts: bytes) -> bytes:
    """What comes back until the connection ends, for bytes that no client would send."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for part in parts:
            writer.write(part)
            await writer.drain()
        found = await reader.read()
    writer.close()
    return found


async def test_every_answer_has_the_headers_that_browsers_obey(client: httpx.AsyncClient) -> None:
    for path in (GOALS, "/livez", "/openapi.json", "/docs", "/docs/swagger-ui.css", "/nowhere"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    assert (await client.get(GOALS)).headers["cache-control"] == "no-store"
    goal = await client.post(GOALS, json=TAG)
    shown = await client.get(goal.headers["location"])
    assert shown.headers["cache-control"] == "private, no-cache"


async def test_a_request_has_an_id_the_clients_own_if_it_is_one(client: httpx.AsyncClient) -> None:
    own = await client.get(GOALS, headers={"X-Request-ID": "shop-17.a_b"})
    assert own.headers["x-request-id"] == "shop-17.a_b"
    first, second = await client.get(GOALS), await client.get(GOALS)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    for bad in ("", "a b", "x" * 129, "line\tbreak"):
        answer = await client.get(GOALS, headers={"X-Request-ID": bad})
        assert answer.headers["x-request-id"] != bad


async def test_log_lines_tell_the_operation_and_no_secret_or_personal_data(
    client: httpx.AsyncClient, log_lines: list[str]
) -> None:
    token = bearer()["authorization"].removeprefix("Bearer ")
    await client.post(GOALS, json=TAG, headers={"X-Request-ID": "one"})
    await client.get(GOALS, params={"cursor": "Mr-Query"}, headers={"X-Request-ID": "two"})
    await client.get(GOALS, headers={"authorization": "Bearer gs_Mr-Forger"})
    await client.get("/livez")
    lines = [json.loads(line) for line in log_lines]
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["status"]) for line in requests] == [("POST", 201), ("GET", 422), ("GET", 401)]
    assert {line["path"] for line in requests} == {"/api/v1/workflows/{workflow_id}/goals"}
    assert [line["request_id"] for line in requests][:2] == ["one", "two"]
    assert requests[0]["account"]
    assert "account" not in requests[2]
    everything = "".join(log_lines)
    for secret in (token, "Mrs Secret", "Mr-Query", "Mr-Forger"):
        assert secret not in everything


async def test_a_defect_is_told_with_its_request_and_nothing_else(
    api_database: Database, log_lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    app = create_app(settings_of("postgresql://x"), api_database)
    monkeypatch.setattr(GoalBook, "page", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=bearer()) as client:
        answer = await client.get(GOALS, headers={"X-Request-ID": "bad-one"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "bad-one"
    assert "bad-one" in answer.json()["detail"]
    assert "hunter2" not in answer.text
    (line,) = [json.loads(line) for line in log_lines if "request_failed" in line]
    assert line["request_id"] == "bad-one"
    assert "RuntimeError" in line["exception"]


async def test_a_body_that_trickles_is_answered_and_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardening.Hardening.__init__, "__kwdefaults__", {"max_body_seconds": 0.2})
    async with serving(settings_of("postgresql://nobody@127.0.0.1:1/none")) as (slow, _):
        head = f"POST {GOALS} HTTP/1.1\r\nhost: x\r\nauthorization: {bearer()['authorization']}\r\n"
        answer = await raw(
            slow, head.encode() + b"content-type: application/json\r\ncontent-length: 100\r\n\r\n", b'{"goal'
        )
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer
    assert b'"error":"validation_error"' in answer


async def test_a_head_that_trickles_is_cut_off(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "head_seconds", 0.2)
    assert await raw(client) == b""
    assert await raw(client, b"GET /livez HTTP/1.1\r\nx: ") == b""
    # Also a later one on the same connection; the first is answered.
    answered = await raw(client, b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HT")
    assert answered.count(b"HTTP/1.1 200") == 1


async def test_who_is_answered_before_the_body_is_whole_cannot_stay(client: httpx.AsyncClient) -> None:
    head = f"POST {GOALS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
    answer = await raw(client, head.encode(), b"{")
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_who_is_answered_slowly_is_not_cut_off(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Impatient, "head_seconds", 0.05)
    release = asyncio.Event()
    original = GoalBook.page

    async def slow(*arguments: Any, **values: Any) -> Any:
        await release.wait()
        return await original(*arguments, **values)

    monkeypatch.setattr(GoalBook, "page", slow)
    asking = asyncio.create_task(client.get(GOALS))
    await asyncio.sleep(0.3)
    release.set()
    assert (await asking).status_code == 200


async def test_headers_have_a_limit(client: httpx.AsyncClient) -> None:
    answer = await raw(client, b"GET /livez HTTP/1.1\r\nhost: x\r\nx-filler: ", b"x" * MAX_HEAD_BYTES)
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_pages_of_other_origins_may_not_ask_unless_they_are_named(database_url: str) -> None:
    preflight = {"origin": PAGE, "access-control-request-method": "PATCH", "access-control-request-headers": "if-match"}
    async with serving(settings_of(database_url)) as (client, _):
        refused = await client.options(GOALS, headers=preflight)
        assert (refused.status_code, refused.json()["error"]) == (405, "method_not_allowed")
        assert "access-control-allow-origin" not in (await client.get(GOALS, headers={"origin": PAGE})).headers
    async with serving(settings_of(database_url, cors_origins=f" {PAGE} ,http://localhost:3000")) as (client, _):
        allowed = await client.options(GOALS, headers=preflight)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
        answer = await client.get(GOALS, headers={"origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "ETag" in answer.headers["access-control-expose-headers"]
        other = await client.get(GOALS, headers={"origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "app.example.com",
        "https://app.example.com/",
        "ftp://x",
        "https://x,*",
        "https://",
        "https://X.com",
        "https://a@x.com",
    ],
)
def test_origins_are_origins(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOALSTREAM_CORS_ORIGINS", origins)
    with pytest.raises(SettingsError, match="GOALSTREAM_CORS_ORIGINS: must be origins such as"):
        load_settings()
