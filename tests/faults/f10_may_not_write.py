"""F10: PostgreSQL answers and may not write: read-only after a failover, and its disk is full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import asyncpg

from tests.faults import acknowledged
from tests.faults.outages import Outages
from tests.faults.rows import Outcome, Row, Size
from tests.faults.stage import Ground, Stage, stage
from tests.faults.stream import prepare
from tests.faults.watch import watching
from tests.services.postgres_server import ROLE, PostgresServer
from tests.services.small_disk import CannotMount, SmallDisk, small_disk

FACTS = {Size.CI: 3_000, Size.FULL: 20_000}
TIMES = {Size.CI: 1, Size.FULL: 3}
"""Of each of the two."""

DISK_MEBIBYTES = {Size.CI: 64, Size.FULL: 256}
SECONDS = 4, 10
QUIET_SECONDS = {Size.CI: 120, Size.FULL: 600}
WORKERS = 2
TABLESPACE = "small"
WORDS = {"read-only": "ReadOnlySQLTransactionError", "disk full": "DiskFullError"}
"""What /readyz must have said, to show that the fault was met."""

_REFUSE = """
create function disk_is_full() returns trigger language plpgsql as
 $$ begin raise exception 'could not extend file: No space left on device' using errcode = 'disk_full'; end $$;
create trigger disk_is_full before insert on matches for each statement execute function disk_is_full();
create trigger disk_is_full before insert on enrollments for each statement execute function disk_is_full();
"""


async def run(ground: Ground, size: Size, seed: int) -> Outcome:
    chance = Random(seed)
    outcome = Outcome()
    server = await asyncio.to_thread(ground.breakable.postgres)
    async with (
        _disk(server, DISK_MEBIBYTES[size]) as disk,
        stage(replace(ground, postgres=server.url), "may-not-write") as here,
    ):
        stream = await prepare(here, FACTS[size], seed)
        await here.start_workers(WORKERS, probes=True)
        faults: dict[str, _Primary | _Full] = {"read-only": _Primary(server, here), "disk full": _Full(disk, here)}
        names = [*faults] * TIMES[size]
        async with watching(here.workers) as watches:
            outages = Outages(here, size, watches, outcome, stream.parts(len(names)))
            for name in chance.sample(names, len(names)):
                fault = partial(_last, faults[name].begin, faults[name].end, chance.uniform(*SECONDS))
                await outages.happen(name, fault, after=chance.uniform(0.2, 1))
                if not any(WORDS[name] in reason for reason in outages.reasons):
                    outcome.findings.limits_missed.append(f"{name}: no worker has met it")
                outcome.findings.add(await acknowledged.look(here, stream.told.goal_versions))
        await here.quiesce(QUIET_SECONDS[size])
        outcome.findings.add(await here.judge(stream.told.goal_versions))
        outcome.findings.add(await here.stop_workers())
    outcome.figures |= {"facts": FACTS[size], "read_only": TIMES[size], "disk_full": TIMES[size]}
    outcome.figures["disks_really_filled"] = 0 if disk is None else TIMES[size]
    return outcome


async def _last(begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]], seconds: float) -> None:
    await begin()
    try:
        await asyncio.sleep(seconds)
    finally:
        await end()


@dataclass(frozen=True, slots=True)
class _Primary:
    """A server that becomes read-only; sessions begun meanwhile stay so, as those with an old primary do."""

    server: PostgresServer
    stage: Stage

    async def begin(self) -> None:
        await self._execute(f"alter database {self._database} set default_transaction_read_only = on")
        ended = (
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid()"
        )
        await self._execute(ended.format(self._database))

    async def end(self) -> None:
        await self._execute(f"alter database {self._database} reset default_transaction_read_only")

    @property
    def _database(self) -> str:
        return self.stage.database_url.rpartition("/")[2]

    async def _execute(self, statement: str) -> None:
        await _as_superuser(self.server, statement)


@dataclass(frozen=True, slots=True)
class _Full:
    """A disk without space; where none can be mounted, triggers that say the same to whoever inserts."""

    disk: SmallDisk | None
    stage: Stage

    async def begin(self) -> None:
        if self.disk is not None:
            await asyncio.to_thread(self.disk.fill)
        else:
            async with self.stage.database.connection() as connection:
                await connection.execute(_REFUSE)

    async def end(self) -> None:
        if self.disk is not None:
            await asyncio.to_thread(self.disk.free)
        else:
            async with self.stage.database.connection() as connection:
                await connection.execute("drop function disk_is_full cascade")


@asynccontextmanager
async def _disk(server: PostgresServer, mebibytes: int) -> AsyncIterator[SmallDisk | None]:
    """Where the tables of databases made in this block lie; None where nothing can be mounted."""
    mounting = small_disk(server, mebibytes)
    try:
        disk = mounting.__enter__()
    except CannotMount:
        yield None
        return
    try:
        await _as_superuser(
            server,
            f"create tablespace {TABLESPACE} location '{disk.path / 'tablespace'}'",
            f"grant create on tablespace {TABLESPACE} to {ROLE}",
            f"alter role {ROLE} set default_tablespace = {TABLESPACE}",
        )
        yield disk
    finally:
        disk.free()
        await _as_superuser(
            server, f"alter role {ROLE} reset default_tablespace", f"drop tablespace if exists {TABLESPACE}"
        )
        mounting.__exit__(None, None, None)


async def _as_superuser(server: PostgresServer, *statements: str) -> None:
    connection = await asyncpg.connect(server.admin_url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


ROW = Row(
    fault="F10",
    title="PostgreSQL may not write: a read-only failover, a full disk",
    run=run,
    full_only="a server of its own, started and filled, takes half a minute",
)
