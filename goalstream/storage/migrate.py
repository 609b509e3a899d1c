"""Brings a database up to date while workers and API go on: plain SQL files, in the order of their names.

Each has a transaction of its own, except one that builds or drops an index beside those who write (`concurrently`), which PostgreSQL
does outside of transactions only. Nobody waits behind a migration that itself waits for a lock for longer than LOCK_TIMEOUT_SECONDS.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg

from goalstream.errors import DatabaseUnavailable, OperatorError
from goalstream.storage.pool import translated_errors

LOCK = 0x676F616C
"""Advisory lock ("goal") that lets one migration run at a time, however many are started."""

LOCK_TIMEOUT_SECONDS = 0.5
"""Whoever needs a table that a migration waits for waits behind it. Less than the second after which PostgreSQL looks for deadlocks:
of a worker and a migration that wait for each other it is always the migration that gives way."""

PAUSE_SECONDS = 2.0
"""Between two attempts: four fifths of the time nobody waits."""

PATIENCE_SECONDS = 300.0
"""For all attempts of one migration, which a statement that goes on for half a minute, or a backup's first look, must not end."""

POLL_SECONDS = 0.2

_HISTORY = """
create table if not exists goalstream_migrations (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())
"""

_APPLIED = "insert into goalstream_migrations (name, checksum) values ($1, $2)"

_OLDEST = """
select pid, extract(epoch from clock_timestamp() - xact_start)::int as seconds from pg_stat_activity
 where datname = current_database() and xact_start is not null and pid <> pg_backend_pid()
 order by xact_start limit 1
"""

# An index whose building was broken off stays, takes its share of every write, and serves nobody.
_IS_BROKEN = "select exists (select from pg_index where indexrelid = to_regclass($1) and not indisvalid)"

_CONCURRENT = re.compile(
    r"^(?:create (?:unique )?index concurrently if not exists|drop index concurrently if exists) (\w+)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()

    @property
    def concurrent_index(self) -> str | None:
        """The index that it builds or drops beside those who write; it is the file's only statement, and can be repeated."""
        found = _CONCURRENT.search(self.sql)
        return None if found is None else found[1]


def known_migrations() -> Sequence[Migration]:
    """The migrations that belong to this release, in order: from the wheel, or from a checkout."""
    package = Path(__file__).parent.parent
    folder = next(path for path in (package / "_migrations", package.parent / "migrations") if path.is_dir())
    return [Migration(path.stem, path.read_text("utf-8")) for path in sorted(folder.glob("*.sql"))]


async def pending(url: str) -> list[str]:
    """The names of migrations not yet applied. Raises DatabaseUnavailable."""
    with translated_errors():
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return [migration.name for migration in await _pending(connection)]
        finally:
            await connection.close()


async def migrate(url: str, *, on_wait: Callable[[str], None] | None = None) -> list[str]:
    """Applies what is missing and returns the names; safe from many places at once. `on_wait` hears, once, of what it waits for.

    Raises DatabaseUnavailable, also when others hold what a migration must lock for as long as its patience lasts; OperatorError
    when an applied file was changed afterwards.
    """
    with translated_errors():
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await _take_turn(connection)
            await connection.execute(_HISTORY)
            applied = []
            for migration in await _pending(connection):
                if migration.concurrent_index is None:
                    await _apply_patiently(connection, migration, on_wait)
                else:
                    await _apply_beside_writers(connection, migration, migration.concurrent_index)
                applied.append(migration.name)
            return applied
        finally:
            await connection.close()  # which also gives the lock back


async def require_current(url: str) -> None:
    """Raises DatabaseUnavailable when the database is away or a migration is missing."""
    if missing := await pending(url):
        raise DatabaseUnavailable(f"the database is not migrated ({len(missing)} pending): run `goalstream migrate`")


async def _take_turn(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Not by a statement that waits: an index that is built concurrently waits for all statements that began before."""
    while True:
        if await connection.fetchval("select pg_try_advisory_lock($1)", LOCK):
            return
        await asyncio.sleep(POLL_SECONDS)


async def _apply_patiently(
    connection: asyncpg.Connection[asyncpg.Record], migration: Migration, on_wait: Callable[[str], None] | None
) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS * 1000:.0f}ms'")
                await connection.execute(migration.sql)
                await connection.execute(_APPLIED, migration.name, migration.checksum)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            oldest = await connection.fetchrow(_OLDEST)
            who = (
                f"; PostgreSQL process {oldest['pid']} has had its transaction for {oldest['seconds']} s"
                if oldest
                else ""
            )
            what = f"migration {migration.name} waits for a lock ({error}){who}"
            if time.monotonic() + PAUSE_SECONDS > deadline:
                raise DatabaseUnavailable(
                    f"{what}: end it or wait for its end, and run `goalstream migrate` again"
                ) from error
            if on_wait is not None:
                on_wait(what)
                on_wait = None
        await asyncio.sleep(PAUSE_SECONDS)


async def _apply_beside_writers(
    connection: asyncpg.Connection[asyncpg.Record], migration: Migration, index: str
) -> None:
    """It waits for transactions that began before, and nobody waits for it meanwhile: without any timeout."""
    if await connection.fetchval(_IS_BROKEN, index):
        await connection.execute(f"drop index concurrently {index}")
    await connection.execute(migration.sql)
    await connection.execute(_APPLIED, migration.name, migration.checksum)


async def _pending(connection: asyncpg.Connection[asyncpg.Record]) -> list[Migration]:
    if not await connection.fetchval("select to_regclass('goalstream_migrations') is not null"):
        return list(known_migrations())
    rows = await connection.fetch("select name, checksum from goalstream_migrations")
    applied = {row["name"]: row["checksum"] for row in rows}
    missing = []
    for migration in known_migrations():
        if migration.name not in applied:
            missing.append(migration)
        elif applied[migration.name] != migration.checksum:
            raise OperatorError(f"migration {migration.name} was changed after it had been applied; restore the file")
    return missing
