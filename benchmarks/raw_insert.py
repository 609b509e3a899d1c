"""What it costs to insert the rows of achievements without deciding anything: as a program would that knew them all beforehand."""

from __future__ import annotations

import time

from goalstream.storage.pool import Connection, Database

ROWS = {
    "matches": "true",
    "achievements": "true",
    "audit": "enrollment_id is not null",
    "outbox": "topic not like '%configured'",
    "enrollments": "true",
    "statistics_marks": "true",
}
"""Where the rows of achievements are, and which they are. Enrollments and marks were there before, and are updated or one more."""

SCHEMA = "raw_insert"


async def raw_insert_seconds(database: Database, achievements: int, batch: int) -> tuple[float, int]:
    """Elapsed seconds for the same rows into empty tables with the same indexes, a transaction for each batch; and how many.

    For every table one statement, prepared once and executed for many rows in one go (`executemany`).
    """
    async with database.connection() as connection:
        found = {
            table: [tuple(row) for row in await connection.fetch(f"select * from {table} where {which} limit $1", most)]
            for table, which in ROWS.items()
            for most in [2 * achievements if table == "outbox" else achievements]
        }
        statements = {table: await _empty_copy(connection, table) for table in ROWS}
        batches = -(-achievements // batch)
        began = time.perf_counter()
        for number in range(batches):
            async with connection.transaction():
                for table, rows in found.items():
                    size = -(-len(rows) // batches)
                    await connection.executemany(statements[table], rows[number * size : (number + 1) * size])
        return time.perf_counter() - began, sum(map(len, found.values()))


async def _empty_copy(connection: Connection, table: str) -> str:
    """Makes a table like this one, with its indexes and without its guards; the statement that fills it."""
    await connection.execute(f"create schema if not exists {SCHEMA}")
    await connection.execute(
        f"create table {SCHEMA}.{table} (like {table} including constraints including indexes including storage)"
    )
    columns = await connection.fetchval(
        "select count(*) from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and not attisdropped",
        table,
    )
    return f"insert into {SCHEMA}.{table} values ({', '.join(f'${number}' for number in range(1, columns + 1))})"
