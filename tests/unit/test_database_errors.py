"""What the driver raises, as what the caller does about it."""

from __future__ import annotations

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


@pytest.mark.parametrize("error", REFUSED, ids=lambda error: type(error).__name__)
def test_what_will_never_pass_is_refused(error: Exception) -> None:
    with pytest.raises(RefusedByDatabase), translated_errors():
        raise error
