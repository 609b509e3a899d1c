"""Migrations run once, wherever they are started, and never over a changed file."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from goalstream.errors import DatabaseUnavailable, OperatorError
from goalstream.storage import migrate
from goalstream.storage.pool import Database


async def test_migrations_started_together_are_applied_once(empty_database_url: str) -> None:
    applied = await asyncio.gather(*(migrate.migrate(empty_database_url) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(migrate.known_migrations())]
    assert await migrate.pending(empty_database_url) == []
    await migrate.require_current(empty_database_url)


async def test_a_database_that_is_not_migrated_says_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(DatabaseUnavailable, match="goalstream migrate"):
        await migrate.require_current(empty_database_url)


async def test_a_file_changed_after_it_was_applied_is_refused(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.migrate(empty_database_url)
    first, *others = migrate.known_migrations()
    changed = [migrate.Migration(first.name, first.sql + "-- changed"), *others]
    monkeypatch.setattr(migrate, "known_migrations", lambda: changed)
    with pytest.raises(OperatorError, match=first.name):
        await migrate.migrate(empty_database_url)


def _one_more(monkeypatch: pytest.MonkeyPatch, sql: str) -> migrate.Migration:
    """A migration after all that there are."""
    planted = migrate.Migration("9999_planted", sql)
    everything = [*migrate.known_migrations(), planted]
    monkeypatch.setattr(migrate, "known_migrations", lambda: everything)
    return planted


async def test_nobody_waits_for_long_behind_a_migration_that_has_to_wait(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = _one_more(monkeypatch, "alter table goals add column planted integer")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 1.0)
    told: list[str] = []
    async with database.transaction() as holder:
        await holder.execute("lock table goals in access share mode")
        migrating = asyncio.create_task(migrate.migrate(database_url, on_wait=told.append))
        slowest = 0.0
        while not told or slowest < 0.1:  # somebody came while it waited
            began = time.monotonic()
            async with database.connection() as other:
                await other.execute("select from goals")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.01)
        assert not migrating.done()
        pid = await holder.fetchval("select pg_backend_pid()")
    assert await migrating == [planted.name]
    assert slowest < migrate.LOCK_TIMEOUT_SECONDS + 0.5
    assert len(told) == 1
    assert planted.name in told[0]
    assert f"process {pid} has had" in told[0]


async def test_a_migration_that_waits_in_vain_leaves_nothing_behind_and_says_who_has_the_lock(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _one_more(monkeypatch, "create table planted (); alter table goals add column planted integer")
    monkeypatch.setattr(migrate, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0.5)
    async with database.transaction() as holder:
        await holder.execute("lock table goals in row exclusive mode")
        pid = await holder.fetchval("select pg_backend_pid()")
        with pytest.raises(DatabaseUnavailable, match=f"process {pid} has had its transaction"):
            await migrate.migrate(database_url)
        assert await holder.fetchval("select to_regclass('planted')") is None
    assert await migrate.pending(database_url) == ["9999_planted"]


async def test_an_index_is_built_beside_those_who_write(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And started from many places at once: the others do not wait in a way that it waits for."""
    _one_more(monkeypatch, "-- Why.\ncreate index concurrently if not exists planted on outbox (topic);\n")
    async with database.transaction() as writer:
        await writer.execute("lock table outbox in row exclusive mode")
        migrating = [asyncio.create_task(migrate.migrate(database_url)) for _ in range(3)]
        async with asyncio.timeout(30):
            while True:
                if await writer.fetchval("select exists (select from pg_index where not indisvalid)"):
                    break
                await asyncio.sleep(0.01)
        async with database.transaction() as other:
            await other.execute("set local lock_timeout = '200ms'")
            await other.execute("lock table outbox in row exclusive mode")
        assert not any(one.done() for one in migrating)
    assert sorted(map(len, await asyncio.gather(*migrating))) == [0, 0, 1]
    assert await _is_valid(database, "planted")


async def test_an_index_whose_building_was_broken_off_is_built_anew(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = "create unique index concurrently if not exists planted on outbox (topic)"
    _one_more(monkeypatch, sql)
    async with database.connection() as connection:
        await connection.execute(
            """insert into outbox (account_id, message_id, topic, subject, time, body, created_at, publish_after)
               select gen_random_uuid(), gen_random_uuid(), 'the same', '', now(), '', now(), now()
                 from generate_series(1, 2)"""
        )
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(sql)
        await connection.execute("delete from outbox")
    assert not await _is_valid(database, "planted")
    assert await migrate.migrate(database_url) == ["9999_planted"]
    assert await _is_valid(database, "planted")


async def _is_valid(database: Database, index: str) -> bool:
    async with database.connection() as connection:
        query = "select indisvalid from pg_index where indexrelid = $1::text::regclass"
        return bool(await connection.fetchval(query, index))


async def test_every_table_is_guarded_by_row_level_security_and_keyed_by_account(database: Database) -> None:
    async with database.transaction() as connection:
        tables = await connection.fetch(
            """select relname, relrowsecurity and relforcerowsecurity as guarded from pg_class
                where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'goalstream_migrations'"""
        )
        keys = await connection.fetch(
            """select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid, 1, true) as first from pg_index
                where indisunique and indrelid::regclass::text <> 'goalstream_migrations'
                  and indrelid in (select oid from pg_class where relnamespace = 'public'::regnamespace)"""
        )
    assert {row["relname"] for row in tables if not row["guarded"]} == set()
    assert {row["name"] for row in keys if row["first"] != "account_id"} == set()


async def test_workflows_that_were_large_before_are_known_to_be(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though row-level security binds whoever migrates."""
    everything = migrate.known_migrations()
    until = next(number for number, one in enumerate(everything) if one.name.endswith("_statistics"))
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "known_migrations", lambda: everything[:until])
        await migrate.migrate(empty_database_url)
    database = Database(empty_database_url, size=1, sees_all_accounts=True)
    try:
        async with database.transaction() as connection:
            await connection.execute(
                """insert into enrollments (account_id, enrollment_id, workflow_id, entered_at)
                   select md5(n % 2 || '')::uuid, md5(n::text)::uuid, md5('')::uuid, case when n < 6 then now() end
                     from generate_series(1, 7) as n"""
            )
        await migrate.migrate(empty_database_url)
        async with database.transaction() as connection:
            rows = await connection.fetch("select enrollments from workflow_sizes order by enrollments")
    finally:
        await database.close()
    assert [row["enrollments"] for row in rows] == [2, 3]


def test_every_index_has_a_comment_that_says_what_it_serves() -> None:
    for file in sorted(Path("migrations").glob("*.sql")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if line.startswith(("create index", "create unique index")):
                assert any(earlier.startswith("-- Serves: ") for earlier in lines[max(0, number - 3) : number]), line
