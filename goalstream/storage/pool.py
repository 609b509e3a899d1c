"""Connections to PostgreSQL: pools, whose rows they may see, and the translation of the driver's errors."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Protocol, TypeAlias

import asyncpg

from goalstream.errors import DatabaseUnavailable, RefusedByDatabase

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Row: TypeAlias = asyncpg.Record

STATEMENT_TIMEOUT_SECONDS = 30
"""A statement that takes longer is stuck; the batch is tried again."""

SERVER_SHARE = 0.9
"""PostgreSQL gives up a slow statement a little earlier: so where our own patience ends, nobody answers at all."""

_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
"""SQLSTATE classes 22 and 23: this row will never be accepted. Everything else may pass after a repair."""

_PASSING = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""InternalClientError among them: of a session that the server ended just before a statement, asyncpg 0.32 says no more."""

_NAME_ACCOUNT = "select set_config('goalstream.account', $1, true)"


class Transactions(Protocol):
    """What gives out transactions: a pool, or one of its transactions that others join."""

    def transaction(self, account_id: str | None = None) -> AbstractAsyncContextManager[Connection]:
        """As that of `Database`."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raises RefusedByDatabase for what PostgreSQL will never accept, DatabaseUnavailable for everything else of its."""
    try:
        yield
    except _REFUSED as error:
        raise RefusedByDatabase(f"{type(error).__name__}: {error}") from error
    except _PASSING as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> DatabaseUnavailable:
    match error:
        case ssl.SSLCertVerificationError():
            return DatabaseUnavailable(
                f"PostgreSQL shows a certificate that is not taken: {error.verify_message}",
                advice="look at sslrootcert in GOALSTREAM_DATABASE_URL, and at the names in that certificate",
            )
        case ConnectionError() if "rejected SSL upgrade" in str(error):
            return DatabaseUnavailable(
                "PostgreSQL does not speak TLS",
                advice="set ssl=on there, or look at sslmode in GOALSTREAM_DATABASE_URL",
            )
        case PermissionError(filename=str(file)):  # asyncpg looks for certificates there, whatever the URL names
            return DatabaseUnavailable(
                f"PostgreSQL is not asked: {file} may not be looked at",
                advice="set HOME to a folder of the user that goalstream runs as",
            )
        case asyncpg.ClientConfigurationError():
            first_line = str(error).partition("\n")[0]
            return DatabaseUnavailable(
                f"PostgreSQL is not asked: {first_line}", advice="look at GOALSTREAM_DATABASE_URL"
            )
        case _:
            return DatabaseUnavailable(f"{type(error).__name__}: {error}")


async def _keep_session(_: asyncpg.Connection[asyncpg.Record]) -> None:
    """Nothing is ever set for longer than a transaction, so a returned connection needs no round trip to clean it."""


class Database:
    """A pool of connections that opens itself when it is first needed, and again after an outage."""

    def __init__(
        self,
        url: str,
        *,
        size: int,
        sees_all_accounts: bool = False,
        on_statement: Callable[[str, float], None] | None = None,
    ) -> None:
        """`sees_all_accounts` is for workers alone: every other connection must name an account first.

        `on_statement` hears of every statement that was answered, and the seconds it took.
        """
        self._url = url
        self._size = size
        self._on_statement = on_statement
        self._settings = {
            "application_name": "goalstream",
            # An empty table makes a prepared statement keep a sequential scan for as long as the connection lives.
            "enable_seqscan": "off",
            # Compiling a statement costs a hundred times what running it does, and a forbidden scan looks expensive.
            "jit": "off",
            "timezone": "UTC",
            "statement_timeout": f"{STATEMENT_TIMEOUT_SECONDS * SERVER_SHARE * 1000:.0f}ms",
        }
        if sees_all_accounts:
            self._settings["goalstream.scope"] = "worker"
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> asyncpg.Pool[asyncpg.Record]:
        """The pool, whose connections are made when they are needed. Raises DatabaseUnavailable."""
        with translated_errors():
            async with self._opening:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        # asyncpg 0.32 tries for ever to keep a least number, and logs a traceback whenever it cannot.
                        min_size=0,
                        max_size=self._size,
                        timeout=5,
                        command_timeout=STATEMENT_TIMEOUT_SECONDS,
                        server_settings=self._settings,
                        reset=_keep_session,
                        init=None if self._on_statement is None else self._listen,
                    )
            return self._pool

    async def _listen(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        on_statement = self._on_statement
        assert on_statement is not None  # noqa: S101 - narrows: nobody listens otherwise
        connection.add_query_logger(lambda query: on_statement(query.query, query.elapsed))

    @property
    def connections(self) -> dict[str, int]:
        """How many there are, by state: used, idle, and limit, the most that there may be."""
        total, idle = (0, 0) if self._pool is None else (self._pool.get_size(), self._pool.get_idle_size())
        return {"used": total - idle, "idle": idle, "limit": self._size}

    async def close(self) -> None:
        """Closes all connections; those still at work after 5 seconds are cut."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(5):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection whose statements each commit by themselves. Raises as `transaction` does."""
        with translated_errors():
            pool = await self.open()
            async with pool.acquire(timeout=STATEMENT_TIMEOUT_SECONDS) as connection:
                try:
                    yield connection
                except asyncpg.ReadOnlySQLTransactionError:
                    # What we are connected to was the primary once; whoever is now answers new connections.
                    await pool.expire_connections()
                    raise
                except TimeoutError:
                    self._give_up(pool)
                    raise

    def _give_up(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        """Cuts all connections: where a firewall has forgotten them, each would take as long to be noticed as this one."""
        if self._pool is pool:
            self._pool = None
            pool.terminate()

    @asynccontextmanager
    async def transaction(self, account_id: str | None = None) -> AsyncIterator[Connection]:
        """A transaction that sees the rows of one account, or what the pool may see.

        Raises DatabaseUnavailable or RefusedByDatabase for whatever the driver raises inside.
        """
        async with self.connection() as connection, connection.transaction():
            if account_id is not None:
                await connection.execute(_NAME_ACCOUNT, account_id)
            yield connection

    @asynccontextmanager
    async def repeatable(self) -> AsyncIterator[Connection]:
        """A transaction that sees what the pool may see, all of it as it was at the first statement; raises as above."""
        async with self.connection() as connection, connection.transaction(isolation="repeatable_read"):
            yield connection

    @asynccontextmanager
    async def snapshot(self, account_id: str) -> AsyncIterator[Connection]:
        """A transaction of one account that can only read; its statements all see the same moment.

        Raises as `transaction` does.
        """
        async with self.connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(_NAME_ACCOUNT, account_id)
            yield connection


class Joined:
    """A transaction that others join as if it were a pool: what one of them does is undone alone where it fails."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @asynccontextmanager
    async def transaction(self, account_id: str | None = None) -> AsyncIterator[Connection]:
        """A part of the transaction, which names its account already. Raises what the driver raises: it is the whole one that
        translates it, and looks at what it means for the pool.
        """
        async with self._connection.transaction():
            yield self._connection
