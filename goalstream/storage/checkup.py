"""What `goalstream doctor` asks of PostgreSQL: is it there, is it ours, do accounts stay apart, does the outbox empty, are
webhooks served, and can secrets be decrypted.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

import asyncpg

from goalstream.errors import OperatorError
from goalstream.observability.findings import Finding, Verdict, counted, judge_clock, ok, unknown, warning, wrong
from goalstream.storage.migrate import pending
from goalstream.storage.pool import translated_errors
from goalstream.storage.sealing import Seal

CONNECT_SECONDS = 5
LEAST_VERSION = 15

DUE_WARNING_SECONDS = 10
DUE_WRONG_SECONDS = 60
"""Sweepers look every second: what has been due for so long, nobody publishes."""

WAITING_WARNING_SECONDS = 60
"""A turn of an endpoint takes 20 seconds at the most, and others come before."""

# Ahead of a table's owner, row security stands only where it is forced. Tables without accounts have nothing to separate.
_OPEN_TABLES = """
select relation.relname
  from pg_class as relation
  join pg_attribute as attribute on attribute.attrelid = relation.oid and attribute.attname = 'account_id'
 where relation.relnamespace = current_schema()::regnamespace and relation.relkind in ('r', 'p')
   and not (relation.relrowsecurity and relation.relforcerowsecurity)
 order by relation.relname
"""

_TABLES = """
select count(*)
  from pg_class as relation
  join pg_attribute as attribute on attribute.attrelid = relation.oid and attribute.attname = 'account_id'
 where relation.relnamespace = current_schema()::regnamespace and relation.relkind in ('r', 'p')
"""

_TLS = "select version from pg_stat_ssl where pid = pg_backend_pid() and ssl"

_ROLE = "select current_user as name, rolsuper, rolbypassrls from pg_roles where rolname = current_user"

_OUTBOX = """
select count(*) as depth, extract(epoch from clock_timestamp() - min(publish_after))::float8 as due_seconds
  from outbox
"""

# Those first whose secrets were changed longest ago: they need the oldest keys.
_SECRETS = """
select of, secrets
  from (select 'webhook ' || webhook_id as of, secrets, updated_at from webhooks
         union all
        select 'hook ' || hook_id, secrets, updated_at from hooks) as sealed
 order by updated_at
 limit $1
"""

# Who was served waits anew since then: that an endpoint is slow is no backlog.
_WEBHOOKS = """
select count(*) as webhooks,
       coalesce(extract(epoch from max(clock_timestamp() - greatest(due_at, served_at, leased_until))
                filter (where not is_paused and due_at <= clock_timestamp() and leased_until <= clock_timestamp())),
                0)::float8 as waiting_seconds,
       count(*) filter (where circuit_open_until > clock_timestamp()) as open_circuits
  from webhooks
"""

MOST_SECRETS = 1_000
"""That are decrypted, in a tenth of a second."""


class Webhooks(NamedTuple):
    """How many there are, for how long one of them has waited for a deliverer, and how many do not answer well."""

    total: int
    waiting_seconds: float
    open_circuits: int


class DatabaseCheckup:
    """The checks; each opens a connection of its own, and raises DatabaseUnavailable where PostgreSQL does not answer."""

    def __init__(self, url: str, *, is_local: bool) -> None:
        """`is_local`: what the connection carries does not leave this machine."""
        self._url, self._is_local = url, is_local

    async def reach(self) -> Finding:
        """Whether it answers, is new enough, and is spoken to encrypted where others could listen."""
        begin = time.monotonic()
        async with self._connection() as connection:
            took_ms = (time.monotonic() - begin) * 1000
            return judge_connection(
                connection.get_server_version().major,
                await _version(connection),
                took_ms,
                tls=await connection.fetchval(_TLS),
                is_local=self._is_local,
            )

    async def migrations(self) -> Finding:
        """Whether every migration of this release is applied."""
        missing = await pending(self._url)
        if missing:
            return wrong(f"pending: {', '.join(missing)}", "run `goalstream migrate`")
        return ok("all are applied")

    async def row_security(self) -> Finding:
        """Whether PostgreSQL keeps accounts apart: for this role, on every table that has accounts."""
        async with self._connection() as connection:
            role = await connection.fetchrow(_ROLE)
            tables = await connection.fetchval(_TABLES)
            unprotected = [row["relname"] for row in await connection.fetch(_OPEN_TABLES)]
        is_bound = not (role is None or role["rolsuper"] or role["rolbypassrls"])
        return judge_row_security("" if role is None else role["name"], is_bound, tables, unprotected)

    async def clock(self, now: Callable[[], datetime]) -> Finding:
        """PostgreSQL's clock beside ours."""
        async with self._connection() as connection:
            await connection.fetchval("select 1")
            before = now()
            there: datetime = await connection.fetchval("select clock_timestamp()")
            after = now()
        half = (after - before) / 2
        return judge_clock("PostgreSQL's clock", (there - before - half).total_seconds(), half.total_seconds())

    async def outbox(self) -> Finding:
        """Whether messages leave the outbox."""
        async with self._connection() as connection:
            if await connection.fetchval("select to_regclass('outbox') is null"):
                return unknown("it does not exist yet", "run `goalstream migrate`")
            row = await connection.fetchrow(_OUTBOX)
        return judge_outbox(0, None) if row is None else judge_outbox(row["depth"], row["due_seconds"])

    async def webhooks(self) -> Webhooks | None:
        """What webhooks there are, and whether somebody serves them; None where there are no tables for them yet."""
        async with self._connection() as connection:
            if await connection.fetchval("select to_regclass('webhooks') is null"):
                return None
            row = await connection.fetchrow(_WEBHOOKS)
        return Webhooks(0, 0.0, 0) if row is None else Webhooks(*row)

    async def secrets(self, keys: str | None) -> Finding:
        """Whether the secrets of webhooks and hooks can be decrypted with these keys, and which still need an older one."""
        async with self._connection() as connection:
            if await connection.fetchval("select to_regclass('webhooks') is null or to_regclass('hooks') is null"):
                return unknown("there are no tables for them yet", "run `goalstream migrate`")
            rows = await connection.fetch(_SECRETS, MOST_SECRETS)
        if keys is None:
            return judge_secrets(len(rows), has_keys=False)
        sealed = [(row["of"], row["secrets"]) for row in rows]
        newest, _, older = keys.partition(",")
        need_an_older = [(of, secrets) for of, secrets in sealed if not _opens(newest, of, secrets)]
        lost = sum(not (older and _opens(keys, of, secrets)) for of, secrets in need_an_older)
        return judge_secrets(len(rows), has_keys=True, need_an_older=len(need_an_older) - lost, lost=lost)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        with translated_errors():
            connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, server_settings={"goalstream.scope": "worker", "timezone": "UTC"}
            )
            try:
                yield connection
            finally:
                await connection.close(timeout=1)


def judge_connection(major: int, version: str, took_ms: float, *, tls: str | None, is_local: bool) -> Finding:
    """PostgreSQL's version, and that of TLS on the way to it (None: not encrypted)."""
    sentence = f"PostgreSQL {version} answers in {took_ms:.0f} ms, {f'encrypted ({tls})' if tls else 'not encrypted'}"
    if major < LEAST_VERSION:
        return wrong(sentence, f"goalstream needs PostgreSQL {LEAST_VERSION} or newer")
    if not (tls or is_local):
        return warning(sentence, "set sslmode=verify-full and sslrootcert in GOALSTREAM_DATABASE_URL")
    return ok(sentence)


def judge_row_security(role: str, is_bound: bool, tables: int, unprotected: list[str]) -> Finding:
    """Row-level security: who is bound by it, and where it stands."""
    problems, advice = [], []
    if not is_bound:
        problems.append(f"it does not bind the role {role}")
        advice.append("give goalstream a role that is neither superuser nor bypassrls")
    if unprotected:
        problems.append(f"it is not enabled and forced on {', '.join(unprotected)}")
        advice.append("`alter table … enable row level security, force row level security`")
    if problems:
        return wrong("; ".join(problems), "; ".join(advice))
    if not tables:
        return unknown("there are no tables yet", "run `goalstream migrate`")
    return ok(f"it is forced on {counted(tables, 'table')} and binds the role {role}")


def judge_outbox(depth: int, due_seconds: float | None) -> Finding:
    """The outbox: how many messages wait, and for how long the oldest has been due (None or negative: not yet)."""
    if due_seconds is None or due_seconds <= 0:
        return ok(f"{counted(depth, 'message')}, none of them due")
    sentence = f"{counted(depth, 'message')}, the oldest due for {timedelta(seconds=round(due_seconds))}"
    advice = "is a worker running, and does Kafka take what it sends? Its log says `sweep_failed`, and /readyz why"
    if due_seconds > DUE_WRONG_SECONDS:
        return wrong(sentence, advice)
    if due_seconds > DUE_WARNING_SECONDS:
        return warning(sentence, advice)
    return ok(sentence)


def judge_webhooks(webhooks: Webhooks, deliverers: Finding) -> Finding:
    """Webhooks, and what their deliverers came to."""
    sentence = f"{counted(webhooks.total, 'webhook')}, {deliverers.sentence}"
    if deliverers.verdict is not Verdict.OK:
        return Finding(deliverers.verdict, sentence, deliverers.advice)
    if webhooks.waiting_seconds > WAITING_WARNING_SECONDS:
        waiting = timedelta(seconds=round(webhooks.waiting_seconds))
        return warning(f"{sentence}; one has waited for its turn for {waiting}", "run more of `goalstream deliverer`")
    if webhooks.open_circuits:
        advice = "`goalstream webhooks list` shows which, and `goalstream webhooks deliveries` what they answer"
        failing = (
            "1 of them fails, and is"
            if webhooks.open_circuits == 1
            else f"{webhooks.open_circuits} of them fail, and are"
        )
        return warning(f"{sentence}; {failing} tried now and then only", advice)
    return ok(sentence)


def judge_secrets(sealed: int, *, has_keys: bool, need_an_older: int = 0, lost: int = 0) -> Finding:
    """Webhooks and hooks whose secrets were looked at: how many need a key that is not the first, or that is gone."""
    if not has_keys:
        if sealed:
            advice = "the API and deliverers need it; no other process does"
            return warning(f"GOALSTREAM_ENCRYPTION_KEYS is not set here, and {_of_secrets(sealed)} need it", advice)
        return ok("there are neither webhooks nor hooks; GOALSTREAM_ENCRYPTION_KEYS, which they need, is not set")
    if lost:
        advice = "put the key that is missing behind the others in GOALSTREAM_ENCRYPTION_KEYS, or rotate their secrets"
        return wrong(f"of {_of_secrets(sealed)}, {lost} were encrypted with a key that is gone", advice)
    if need_an_older:
        return ok(f"of {_of_secrets(sealed)}, {need_an_older} need a key that is not the first: keep it")
    return ok(f"{_of_secrets(sealed)}, encrypted with the first of GOALSTREAM_ENCRYPTION_KEYS")


def _of_secrets(sealed: int) -> str:
    return f"{sealed}{' or more' if sealed == MOST_SECRETS else ''} webhooks and hooks"


def _opens(keys: str, of: str, secrets: bytes) -> bool:
    try:
        Seal(keys).open(of, secrets)
    except OperatorError:
        return False
    return True


async def _version(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    return str(await connection.fetchval("show server_version"))
