"""What a migration does to those who work meanwhile: which tables it locks, how, and what it does under the lock.

Every migration is applied to a database that has the ones before it, and rows in every table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import pytest

from goalstream.errors import DatabaseUnavailable
from goalstream.storage import migrate
from goalstream.storage.migrate import Migration
from goalstream.storage.pool import Connection, Database
from tests.unit.test_readme import ROOT

PAGE = ROOT / "docs" / "upgrades.md"
ROWS = 3
MODES = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""From the weakest to the strongest."""

WRITERS_WAIT = MODES[MODES.index("ShareLock") :]

ROWS_CHANGED = "rows changed"
"""Whoever writes one of them waits for the end of the transaction."""

WORK_UNDER_A_LOCK = {
    "0004_contacts": "payloads change their type, matches their key; no release had rows before it",
    "0008_indexes": "indexes are built anew; no release had rows before it",
    "0009_room": "an index is built anew; no release had rows before it",
    "0012_audit": "an index is built; no release had rows before it",
}
"""Migrations under which writers wait for more than a change of the catalog. New ones have no place here."""

TABLES = """
select oid, relname as name, pg_relation_filenode(oid) as file,
       array(select indexrelid from pg_index where indrelid = pg_class.oid) as indexes
  from pg_class
 where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'goalstream_migrations'
"""

LOCKS = "select relation, mode from pg_locks where pid = pg_backend_pid() and granted and relation = any($1::oid[])"

COLUMNS = """
select relname as name, attname as column, format_type(atttypid, atttypmod) as type, attnum as position
  from pg_attribute join pg_class on pg_class.oid = attrelid
 where relkind::text = $1 and relnamespace = 'public'::regnamespace and attnum > 0 and not attisdropped
"""

MUST_BE_WRITTEN = """
select relname as name, attname as column from pg_attribute join pg_class on pg_class.oid = attrelid
 where relkind = 'r' and relnamespace = 'public'::regnamespace
   and attnum > 0 and attnotnull and not atthasdef and attidentity = '' and not attisdropped
"""

FUNCTIONS = "select proname as name, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace"

CHANGED_FOR_THE_RELEASE_BEFORE = {"0004_contacts": {"matches", "achievements"}}
"""Payloads change their type; its header says that the release before does not run on it. New migrations have no place here."""

DONE = "select relid, seq_tup_read as read, n_tup_upd + n_tup_del as changed from pg_stat_xact_user_tables"

REQUIRED = """
select attname as name, format_type(atttypid, null) as type from pg_attribute
 where attrelid = $1 and attnum > 0 and attnotnull and not atthasdef and attidentity = '' and not attisdropped
 order by attnum
"""

VALUES = {
    "uuid": "gen_random_uuid()",
    "text": "'x'",
    "timestamp with time zone": "now()",
    "bigint": "1",
    "integer": "1",
    "smallint": "1",
    "double precision": "1",
    "boolean": "false",
    "bytea": "decode(repeat('00', 32), 'hex')",
    "uuid[]": "'{}'",
    "text[]": "'{}'",
    "jsonb": "'{}'",
}
OF_COLUMNS = {"kind": "'tag'", "state": "'pending'", "occurred_at_source": "'event'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Touch:
    """What a migration does to a table that was there before."""

    table: str
    mode: str
    work: Sequence[str]
    """What takes the longer, the more rows there are."""

    @property
    def is_felt(self) -> bool:
        """Whether writers wait the longer, the more rows there are."""
        return ROWS_CHANGED in self.work or (self.mode in WRITERS_WAIT and bool(self.work))

    def __str__(self) -> str:
        mode = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.mode.removesuffix("Lock")).upper()
        return f"`{self.table}` {mode}" + "".join(f", {one}" for one in self.work)


IN_A_TRANSACTION = [one for one in migrate.known_migrations() if one.concurrent_index is None]
"""The others build or drop one index beside those who write: `test_migrate` shows that nobody waits for them."""

each_migration = pytest.mark.parametrize("migration", IN_A_TRANSACTION, ids=lambda migration: migration.name)


@asynccontextmanager
async def _before(url: str, number: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """A database with so many migrations, and rows in every table; the next one is what is pending."""
    everything = migrate.known_migrations()
    monkeypatch.setattr(migrate, "known_migrations", lambda: everything[:number])
    await migrate.migrate(url)
    monkeypatch.setattr(migrate, "known_migrations", lambda: everything[: number + 1])
    database = Database(url, size=3, sees_all_accounts=True)
    try:
        async with database.transaction() as connection:
            await _fill(connection)
        yield database
    finally:
        await database.close()


async def _fill(connection: Connection) -> None:
    for table in await connection.fetch(TABLES):
        columns = await connection.fetch(REQUIRED, table["oid"])
        names = ", ".join(f'"{column["name"]}"' for column in columns)
        values = ", ".join(OF_COLUMNS.get(column["name"]) or VALUES[column["type"]] for column in columns)
        await connection.execute(
            f"insert into {table['name']} ({names}) select {values} from generate_series(1, {ROWS})"
        )


async def _touched(database: Database, sql: str) -> Sequence[Touch]:
    """Applies it, looks, and takes it back."""
    async with database.connection() as connection:
        before = {row["oid"]: row for row in await connection.fetch(TABLES)}
        earlier = await _done(connection)
        trial = connection.transaction()
        await trial.start()
        await connection.execute(sql)
        modes: dict[int, str] = {}
        for oid, mode in await connection.fetch(LOCKS, list(before)):
            modes[oid] = max(mode, modes.get(oid, mode), key=MODES.index)
        after = {row["oid"]: row for row in await connection.fetch(TABLES)}
        done = await _done(connection) - earlier
        await trial.rollback()
    touches = [
        Touch(table=before[oid]["name"], mode=mode, work=_work(before[oid], after.get(oid), done, oid))
        for oid, mode in modes.items()
    ]
    return sorted(touches, key=lambda touch: touch.table)


async def _done(connection: Connection) -> Counter[tuple[int, str]]:
    """Rows read and changed by this session, by table."""
    rows = await connection.fetch(DONE)
    return Counter({(row["relid"], name): row[name] for row in rows for name in ("read", "changed")})


def _work(
    before: asyncpg.Record, after: asyncpg.Record | None, done: Counter[tuple[int, str]], oid: int
) -> Sequence[str]:
    found = {
        "dropped": after is None,
        "rewritten": after is not None and after["file"] != before["file"],
        "index built": after is not None and not set(after["indexes"]) <= set(before["indexes"]),
        "read": done[oid, "read"] > 0,
        ROWS_CHANGED: done[oid, "changed"] > 0,
    }
    return [name for name, is_so in found.items() if is_so]


@each_migration
async def test_the_release_before_finds_what_it_uses_and_writers_wait_for_no_more_than_a_change_of_the_catalog(
    empty_database_url: str, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = migrate.known_migrations().index(migration)
    async with _before(empty_database_url, number, monkeypatch) as database:
        touched = await _touched(database, migration.sql)
        changed = await _changed(database, migration.sql)
    assert changed == CHANGED_FOR_THE_RELEASE_BEFORE.get(migration.name, set())
    felt = [str(touch) for touch in touched if touch.is_felt]
    assert bool(felt) == (migration.name in WORK_UNDER_A_LOCK), felt
    told = "; ".join(map(str, touched)) or "only what is new"
    line = rf"^\| {migration.name[:4]} \| {re.escape(told)} \|"
    assert re.search(line, PAGE.read_text(), re.MULTILINE), f"docs/upgrades.md must say of it: {told}"


@each_migration
async def test_a_migration_waits_for_who_writes_exactly_where_it_must(
    empty_database_url: str, migration: Migration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is at work has written to every table, and has not committed yet."""
    number = migrate.known_migrations().index(migration)
    async with _before(empty_database_url, number, monkeypatch) as database:
        touched = await _touched(database, migration.sql)
        monkeypatch.setattr(migrate, "LOCK_TIMEOUT_SECONDS", 0.1)
        monkeypatch.setattr(migrate, "PATIENCE_SECONDS", 0)
        async with database.transaction() as writer:
            for table in await writer.fetch(TABLES):
                await writer.execute(f"update {table['name']} set account_id = account_id")
            if any(touch.mode in WRITERS_WAIT or ROWS_CHANGED in touch.work for touch in touched):
                with pytest.raises(DatabaseUnavailable, match="waits for a lock"):
                    await migrate.migrate(empty_database_url)
            else:
                assert await migrate.migrate(empty_database_url) == [migration.name]
        await migrate.migrate(empty_database_url)
    assert await migrate.pending(empty_database_url) == []


async def _changed(database: Database, sql: str) -> set[str]:
    """Tables that lose a column, change one or want one filled, types and functions that are not the same; then it is taken back."""
    async with database.connection() as connection:
        before = await _shapes(connection)
        trial = connection.transaction()
        await trial.start()
        await connection.execute(sql)
        after = await _shapes(connection)
        await trial.rollback()
    tables, types = ({row["name"] for row in before[kind]} for kind in ("tables", "types"))
    lost = {row["name"] for kind in ("tables", "types", "functions") for row in before[kind] - after[kind]}
    wanted = {row["name"] for row in after["must be written"] - before["must be written"]}
    return lost | (wanted & tables) | ({row["name"] for row in after["types"] - before["types"]} & types)


async def _shapes(connection: Connection) -> dict[str, set[asyncpg.Record]]:
    return {
        "tables": set(await connection.fetch(COLUMNS, "r")),
        "types": set(await connection.fetch(COLUMNS, "c")),
        "must be written": set(await connection.fetch(MUST_BE_WRITTEN)),
        "functions": set(await connection.fetch(FUNCTIONS)),
    }


async def test_a_change_that_the_release_before_would_meet_is_noticed(database: Database) -> None:
    emptied = "create or replace function uuids(ids text) returns uuid[] language sql as $$ select null::uuid[] $$"
    for sql, name in {
        "do $$ begin execute 'alter table goals rename created_by to made_by'; end $$": "goals",
        "alter table goals drop created_by": "goals",
        "alter table goals rename to targets": "goals",
        "alter table goals alter version type bigint": "goals",
        "alter table goals alter deleted_at set not null": "goals",
        "do $$ begin execute 'alter table goals add planted text not null'; end $$": "goals",
        "alter type match_row add attribute planted text": "match_row",
        "alter type match_row rename to matching_row": "match_row",
        "drop function uuids(text)": "uuids",
        emptied: "uuids",
    }.items():
        assert await _changed(database, sql) == {name}, sql
    assert await _changed(database, "alter table goals add planted text; create type planted as (one text)") == set()


async def test_what_writers_would_feel_is_noticed(database: Database) -> None:
    async with database.transaction() as connection:
        await _fill(connection)
        await connection.execute("update goals set deleted_at = now()")
    at_every_row = "do $$ begin execute 'alter table goals add at timestamptz default clock_timestamp()'; end $$"
    for sql, told in {
        "alter table goals alter version type bigint": "`goals` ACCESS EXCLUSIVE, rewritten, read",
        at_every_row: "`goals` ACCESS EXCLUSIVE, rewritten, read",
        "truncate goals": "`goals` ACCESS EXCLUSIVE, rewritten",
        "drop table goals": "`goals` ACCESS EXCLUSIVE, dropped",
        "create index planted on goals (created_by)": "`goals` SHARE, index built, read",
        "alter table goals add check (version > 0)": "`goals` ACCESS EXCLUSIVE, read",
        "alter table goals alter deleted_at set not null": "`goals` ACCESS EXCLUSIVE, read",
        "update goals set version = 2": "`goals` ROW EXCLUSIVE, read, rows changed",
    }.items():
        touched = await _touched(database, sql)
        assert [(str(touch), touch.is_felt) for touch in touched] == [(told, True)], sql


async def test_what_writers_do_not_feel_passes(database: Database) -> None:
    async with database.transaction() as connection:
        await _fill(connection)
    for sql in (
        "alter table goals add planted text",
        "alter table goals add planted boolean not null default false",
        "alter table goals add check (version > 0) not valid",
        "alter table goals set (fillfactor = 80)",
        "create table planted (account_id uuid primary key)",
    ):
        assert [touch for touch in await _touched(database, sql) if touch.is_felt] == [], sql
