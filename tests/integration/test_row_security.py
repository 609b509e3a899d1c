"""Row-level security, the second guard: what the statements do where they forget to say whose rows they mean.

Two accounts have the same ids and the same rows everywhere. Every statement of storage is executed with its values, but without
a word about accounts: it must find and change what it would have with them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from goalstream.storage.cleaning import PORTION
from goalstream.storage.pool import Connection, Database
from tests.faults.twin_accounts import TABLES
from tests.integration import statements as storage
from tests.integration.builders import World, new_id
from tests.integration.statements import Recorder, execute_all, statements

OTHER = "ffffffff-0000-4000-8000-000000000002"

_WITHOUT_ACCOUNTS = [
    (r"\(achievements\.account_id, (coalesce\(.+?\))\) in \(select \* from unnest\((\S+), (\S+)\)\)",
     r"\1 in (select contact_id from unnest(\2, \3) as erased (account_id, contact_id))"),
    (r"\busing \(account_id, ", "using ("),
    (r"\bselect account_id, enrollment_id \nfrom", "select enrollment_id \nfrom"),
    (r"(?:\w+\.)?account_id = (\$\d+)", r"\1::uuid is not null"),
    (r"(?:\w+\.)?account_id = \w+\.account_id", "true"),
]  # fmt: skip

INSERT_ONLY = re.compile(r"\s*(insert\b|with (audited|entered) as)")
"""What these touch beside what they bring is named by their unique constraint, which begins with the account."""

FOR_WORKERS = ("roll_up.", "deliverers.")
"""What looks at all accounts at once, over connections that see them all: no connection of an account ever executes it."""

ONLY_FOR_WORKERS = {"statistics_marks", "workflow_sizes"}
"""Tables that nothing else reads."""

LONG = timedelta(hours=1)
"""By when whatever a test has written is old."""

CLOCKS = {"now", "clock", "computed_at", "age_seconds", "oldest_running", "next_to_run"}


def without_accounts(text: str) -> str:
    """A statement that no longer says whose rows it means."""
    for pattern, replacement in _WITHOUT_ACCOUNTS:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    assert not re.search(r"account_id\)? (=|in)|using \(account_id", text), text
    return text


def tables_of(text: str) -> set[str]:
    """The tables that a statement reads or changes."""
    return set(re.findall(r"\b(?:from|join|update|using)\s+(\w+)", text))


@pytest.fixture
async def recorded(
    database: Database, api_database: Database, monkeypatch: pytest.MonkeyPatch
) -> tuple[World, Recorder]:
    """An account that has had everything done to it, the values that it was done with, and its twin."""

    async def leave(_: World) -> None:
        """What is cleaned up could show nothing."""

    recorder = Recorder()
    recorder.listen(monkeypatch)
    monkeypatch.setattr(storage, "_clean", leave)
    world = World(database)
    goals = [await world.add_goal(), await world.add_goal()]
    await execute_all(world, api_database, goals, [(new_id(), new_id()) for _ in range(5)])
    async with database.transaction() as connection:
        await make_effective(connection, recorder)
        for name, text in statements().items():
            if name.startswith("cleaning."):
                recorder.values[text] = (world.now + LONG, PORTION)
        for table in await tables(connection):
            await copy_to_other(connection, table)
    return world, recorder


async def make_effective(connection: Connection, recorder: Recorder) -> None:
    """Has every statement find something: what it did at its last time is not there to be done again."""
    await connection.execute(
        """update matches set data = '{}'; update achievements set data = '{}', revoked_at = null;
           update api_keys set last_used_at = null; update webhook_attempts set answer = 'a';
           update webhook_deliveries set state = 'parked';
           update outbox set publish_after = clock_timestamp();
           insert into statistics_marks select account_id, workflow_id, entered_at from enrollments where entered_at is not null"""
    )
    known, text = recorder.values, statements()
    known[text["outbox._DELETE"]] = known[text["outbox._POSTPONE"]][:2]
    known[text["webhooks._LOCK"]] = known[text["webhooks._DELETE"]] = known[text["webhooks._FIND"]]
    known[text["hooks._DELETE"]] = known[text["hooks._FIND"]]
    attempted = await connection.fetchrow("select account_id, webhook_id, message_id from webhook_attempts limit 1")
    assert attempted is not None
    for name in ("contacts._ERASE_ANSWERS", "delivery_log._REDRIVE_PARKED"):
        known[text[name]] = [[each] for each in attempted]
    merged = await connection.fetchrow("select account_id::text, contact_id::text from contact_merges limit 1")
    achieved = await connection.fetchrow(
        """select account_id, enrollment_id, goal_id, source, event_id from achievements limit 1"""
    )
    known[text["contacts._FAMILIES"]] = tuple(merged or ())
    known[text["achievements._ACHIEVED_BY"]] = tuple(achieved or ())


async def tables(connection: Connection) -> list[str]:
    return [row["relname"] for row in await connection.fetch(TABLES)]


async def copy_to_other(connection: Connection, table: str) -> None:
    """Gives the other account the same rows."""
    names = await connection.fetch(
        "select attname from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and attidentity = ''",
        table,
    )
    columns = [f'"{row["attname"]}"' for row in names if row["attname"] not in ("account_id", "change_id")]
    given = ", ".join(columns)
    await connection.execute(f"insert into {table} (account_id, {given}) select $1, {given} from {table}", OTHER)


async def rows_of(connection: Connection, account_id: str) -> dict[str, list[str]]:
    """An account's rows, as text, by table."""
    return {
        table: [
            row["text"]
            for row in await connection.fetch(
                f"select row::text as text from {table} as row where account_id = $1 order by 1", account_id
            )
        ]
        for table in await tables(connection)
    }


@asynccontextmanager
async def undone(database: Database, account_id: str | None) -> AsyncIterator[Connection]:
    """A transaction that leaves no trace."""
    async with database.transaction(account_id) as connection:
        inner = connection.transaction()
        await inner.start()
        yield connection
        await inner.rollback()


async def effect(
    database: Database, world: World, text: str, values: Sequence[Any]
) -> tuple[Any, dict[str, list[str]]]:
    """What a statement finds for one account (or for a worker, where the connections are one's), and the other's rows after it."""
    async with undone(database, world.account_id) as connection:
        if re.match(r"\s*(with|select)\b(?!.*\b(update|delete from)\b\s\w)", text, re.DOTALL):
            found: Any = counted(await connection.fetch(text, *values))
        else:
            found = await connection.execute(text, *values)
        await connection.execute("select set_config('goalstream.scope', 'worker', true)")
        return found, await rows_of(connection, OTHER)


def counted(rows: Sequence[asyncpg.Record]) -> Counter[str]:
    """Rows in no order, without what a clock says."""
    return Counter(str({name: said for name, said in row.items() if name not in CLOCKS}) for row in rows)


async def test_without_a_word_about_accounts_every_statement_finds_and_changes_only_ones_own(
    database: Database, api_database: Database, recorded: tuple[World, Recorder]
) -> None:
    world, recorder = recorded
    async with database.transaction() as connection:
        all_tables = set(await tables(connection))
        others = await rows_of(connection, OTHER)
    assert {table for table, rows in others.items() if rows} == all_tables, "have every table filled"

    foreign: dict[str, Any] = {}
    shown_without: set[str] = set()
    executed = {
        name: text
        for name, text in statements().items()
        if text in recorder.values and not name.startswith(FOR_WORKERS)
    }
    for name, text in executed.items():
        if INSERT_ONLY.match(text):
            continue
        values, bare = recorder.values[text], without_accounts(text)
        wanted, _ = await effect(api_database, world, text, values)
        found, after = await effect(api_database, world, bare, values)
        if found != wanted or after != others:
            foreign[name] = found
        unguarded, after = await effect(database, world, bare, values)
        if unguarded != wanted or after != others:
            shown_without.add(name)
    assert foreign == {}
    read = {name: tables_of(text) & all_tables for name, text in executed.items() if not INSERT_ONLY.match(text)}
    assert set(read) == shown_without
    assert set().union(*(read[name] for name in shown_without)) == all_tables - ONLY_FOR_WORKERS


async def test_without_an_account_there_is_nothing_to_find_or_change(
    api_database: Database, recorded: tuple[World, Recorder]
) -> None:
    async with api_database.connection() as connection:
        for table in await tables(connection):
            assert await connection.fetchval(f"select count(*) from {table}") == 0
            assert await connection.execute(f"delete from {table}") == "DELETE 0"
            assert await connection.execute(f"update {table} set account_id = account_id") == "UPDATE 0"


async def test_nobody_can_give_rows_to_another_account_or_take_them(
    database: Database, api_database: Database, recorded: tuple[World, Recorder]
) -> None:
    world, _ = recorded
    async with database.transaction() as connection:
        before = await rows_of(connection, OTHER)
    for table in before:
        async with undone(api_database, world.account_id) as connection:
            assert {str(row[0]) for row in await connection.fetch(f"select account_id from {table}")} == {
                world.account_id
            }
            touched = f"where account_id = '{OTHER}'"
            assert await connection.execute(f"delete from {table} {touched}") == "DELETE 0"
            assert (
                await connection.execute(f"update {table} set account_id = $1 {touched}", world.account_id)
                == "UPDATE 0"
            )
            for statement in (
                f"update {table} set account_id = '{OTHER}'",
                f'insert into {table} select (jsonb_populate_record(row, \'{{"account_id": "{OTHER}"}}\')).* from {table} as row',
            ):
                if "insert" in statement and table == "audit":
                    statement = statement.replace(
                        f"into {table} select", f"into {table} overriding system value select"
                    )
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    async with connection.transaction():
                        await connection.execute(statement)
    async with database.transaction() as connection:
        assert await rows_of(connection, OTHER) == before


async def test_what_guards_is_the_policy_and_nothing_else(
    database: Database, api_database: Database, recorded: tuple[World, Recorder]
) -> None:
    """So that these tests could fail: with the policy off, everything is there."""
    world, _ = recorded
    async with undone(api_database, world.account_id) as connection:
        for table in await tables(connection):
            await connection.execute(f"alter table {table} disable row level security")
            seen = await connection.fetch(f"select distinct account_id::text as seen from {table}")
            assert {row["seen"] for row in seen} == {world.account_id, OTHER}
