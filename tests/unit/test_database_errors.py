"""What the driver raises, as what the caller does about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from goalstream.errors import DatabaseUnavailable, RefusedByDatabase
from goalstream.storage.pool import translated_errors

WAITED_OUT = [
    asyncpg.AdminShutdownError("terminating connection"),
    asyncpg.CannotConnectNowError("the database system is starting up"),
    asyncpg.DiskFullError("could not extend file"),
    asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.DeadlockDetectedError("deadlock detected"),
    asyncpg.SerializationError("could not serialize access"),
    asyncpg.UndefinedTableError("not migrated"),
    asyncpg.InsufficientPrivilegeError("permission denied"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed"),
    # When the server ends a session just before a statement is sent on it.
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    # Of a server that is not the primary, where the URL asks for it: target_session_attrs=read-write.
    asyncpg.TargetServerAttributeNotMatched("None of the hosts match the target attribute"),
    ConnectionResetError("Connection reset by peer"),
    TimeoutError(),
]
REFUSED = [
    asyncpg.NotNullViolationError("null value"),
    asyncpg.UntranslatableCharacterError("\\u0000 cannot be converted"),
]


@pytest.mark.parametrize("error", WAITED_OUT, ids=lambda error: type(error).__name__)
def test_what_may_pass_is_waited_out(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable), translated_errors():
        raise error


def test_a_home_that_is_somebody_elses_is_told_in_words(tmp_path: Path) -> None:
    folder = tmp_path / ".postgresql"
    folder.mkdir(mode=0)
    code = (
        "import asyncio, os; from goalstream.storage.migrate import pending\n"
        "if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "asyncio.run(pending('postgresql://nobody@127.0.0.1:1/nothing'))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == (
        f"goalstream.errors.DatabaseUnavailable: PostgreSQL is not asked: {folder}/postgresql.key may not be looked at:"
        " set HOME to a folder of the user that goalstream runs as"
    )


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: type(error).__name__)
def test_what_will_never_pass_is_refused(error: Exception) -> None:
    with pytest.raises(RefusedByDatabase), translated_errors():
        raise error
