"""Migrations run once, wherever they are started, and never over a changed file."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
