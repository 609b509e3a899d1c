"""Brings a database up to date: plain SQL files, in the order of their names, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import asyncpg

from goalstream.errors import DatabaseUnavailable, OperatorError
from goalstream.storage.pool import translated_errors

LOCK = 0x676F616C
"""Advisory lock ("goal") that lets one migration run at a time, however many are started."""

_HISTORY = """
create table if not exists goalstream_migrations (
    name text primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp())
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


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


async def migrate(url: str) -> list[str]:
    """Applies what is missing and returns the names; safe from many places at once.

    Raises DatabaseUnavailable, or OperatorError when an applied file was changed afterwards.
    """
    with translated_errors():
        connection = await asyncpg.connect(url, timeout=5)
        try:
            await connection.execute("select pg_advisory_lock($1)", LOCK)
            await connection.execute(_HISTORY)
            applied = []
            for migration in await _pending(connection):
                async with connection.transaction():
                    await connection.execute(migration.sql)
                    await connection.execute(
                        "insert into goalstream_migrations (name, checksum) values ($1, $2)",
                        migration.name,
                        migration.checksum,
                    )
                applied.append(migration.name)
            return applied
        finally:
            await connection.close()  # which also gives the lock back


async def require_current(url: str) -> None:
    """Raises DatabaseUnavailable when the database is away or a migration is missing."""
    if missing := await pending(url):
        raise DatabaseUnavailable(f"the database is not migrated ({len(missing)} pending): run `goalstream migrate`")


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
