"""Connections to a PostgreSQL that is away, comes back, and is not what it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from goalstream.errors import DatabaseUnavailable
from goalstream.storage import pool
from goalstream.storage.pool import Database
from tests.faults.proxy import Proxy, through
from tests.services.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def database(server: PostgresServer) -> AsyncIterator[Database]:
    found = Database(server.url, size=2)
    yield found
    await found.close()


async def _answers(database: Database) -> bool:
    try:
        async with database.transaction() as connection:
            return bool(await connection.fetchval("select 1") == 1)
    except DatabaseUnavailable:
        return False


async def test_a_server_that_was_stopped_at_once_is_used_again_and_nobody_but_us_tells_of_it(
    server: PostgresServer, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    assert await _answers(database)
    await asyncio.to_thread(server.stop_at_once)
    try:
        with caplog.at_level(logging.WARNING):
            assert not await _answers(database)
            assert not await _answers(database)
    finally:
        await asyncio.to_thread(server.revive)
    assert [record.name for record in caplog.records] == []
    assert await _answers(database)


async def test_sessions_with_a_server_that_may_only_be_read_are_given_up(
    server: PostgresServer, database: Database
) -> None:
    """As after a failover, when the old primary still answers those who were connected to it."""
    admin = await asyncpg.connect(server.admin_url)
    try:
        await admin.execute("alter database goalstream set default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailable, match="read-only"):
            await _write(database)
        await admin.execute("alter database goalstream reset default_transaction_read_only")
        await _write(database)
    finally:
        await admin.execute("alter database goalstream reset default_transaction_read_only")
        await admin.close()


async def test_one_statement_without_an_answer_gives_up_all_connections_of_its_time(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a firewall has forgotten them: each by itself would take as long to be noticed."""
    monkeypatch.setattr(pool, "STATEMENT_TIMEOUT_SECONDS", 1)
    async with Proxy("127.0.0.1", server.port) as proxy:
        database = Database(through(server.url, proxy), size=4)
        await asyncio.gather(*(_sleep(database) for _ in range(4)))
        proxy.forget()
        tries = 1
        while not await _answers(database):
            tries += 1
        assert tries == 2
        await database.close()


async def test_a_statement_that_is_only_slow_costs_nobody_else_a_connection(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "STATEMENT_TIMEOUT_SECONDS", 2)
    database = Database(server.url, size=2)
    slow = asyncio.create_task(_sleep(database, 30))
    await asyncio.sleep(0.8)
    other = asyncio.create_task(_sleep(database, 1.5))
    with pytest.raises(DatabaseUnavailable, match="statement timeout"):
        await slow
    await other
    await database.close()


async def _sleep(database: Database, seconds: float = 0.2) -> None:
    async with database.transaction() as connection:
        await connection.execute("select pg_sleep($1)", seconds)


async def _write(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("create table if not exists written (number int)")
        await connection.execute("insert into written values (1)")
