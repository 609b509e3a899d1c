"""API keys: made, listed and revoked by operators, and looked up for every request that carries one."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from goalstream.domain.access import SECRET_BYTES, ApiKey, Scope, make_api_key
from goalstream.storage.audit import write_audit
from goalstream.storage.pool import Connection, Database, Row

_COLUMNS = """
account_id::text, key_id::text, name, scopes, created_at, created_by, expires_at, revoked_at, revoked_by, last_used_at,
case when revoked_at is not null then 'revoked' when expires_at <= clock_timestamp() then 'expired' else 'active' end as state
"""

_INSERT = f"""
insert into api_keys (account_id, key_id, digest, name, scopes, created_at, created_by, expires_at)
select $1, $2, $3, $4, $5, now, $6, now + $7::interval from clock_timestamp() as now
returning {_COLUMNS}
"""

_LIST = f"""
select {_COLUMNS} from api_keys where $1::uuid is null or account_id = $1 order by created_at, key_id
"""

# Of two that revoke a key at once, the second waits, and then finds it revoked: of the row that it locks it reads what is new.
_LOCK = f"select {_COLUMNS} from api_keys where key_id = $1 for update"

_REVOKE = f"""
update api_keys set revoked_at = clock_timestamp(), revoked_by = $3 where account_id = $1 and key_id = $2
returning {_COLUMNS}
"""

_LOOK_UP = f"""
select {_COLUMNS}, digest, last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute' as is_due
  from api_keys where account_id = $1 and key_id = $2
"""

_NOTE_USE = """
update api_keys set last_used_at = clock_timestamp()
 where account_id = $1 and key_id = $2
   and (last_used_at is null or last_used_at < clock_timestamp() - interval '1 minute')
"""


class State(StrEnum):
    """Whether a key opens anything, by PostgreSQL's clock when it was read."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key; not the key itself, which nobody can tell again."""

    account_id: str
    key_id: str
    name: str
    scopes: Sequence[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    last_used_at: datetime | None
    state: State

    def document(self) -> dict[str, Any]:
        """The record as JSON shows it."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """What a request's key turned out to be; `is_use_due`: its last use was noted more than a minute ago."""

    record: KeyRecord
    is_use_due: bool


class KeyBook:
    """The keys of all accounts, for operators: over connections that see all of them. Everything raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, account_id: str, *, name: str, scopes: Sequence[Scope], expires_in: timedelta | None, actor: str
    ) -> tuple[ApiKey, KeyRecord]:
        """A new key, which is told here and never again. Raises RefusedByDatabase for an end that no calendar knows."""
        key = make_api_key(account_id, str(uuid4()), secrets.token_urlsafe(SECRET_BYTES))
        values = account_id, key.key_id, key.digest, name, list(scopes), actor, expires_in
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(_INSERT, *values)
            assert row is not None  # noqa: S101 - narrows: what was inserted is returned
            record = _record(row)
            await _audit(connection, record, record.created_at, actor, "api_key_created", before=None)
        return key, record

    async def keys(self, account_id: str | None = None) -> Sequence[KeyRecord]:
        """The keys of one account or of all, the oldest first, whatever has become of them."""
        async with self._database.transaction() as connection:
            return [_record(row) for row in await connection.fetch(_LIST, account_id)]

    async def revoke(self, key_id: str, *, actor: str) -> KeyRecord | None:
        """The key, which opens nothing from now on; as it was, where it was revoked before. None where there is none."""
        async with self._database.transaction() as connection:
            found = await connection.fetchrow(_LOCK, key_id)
            if found is None or found["state"] == State.REVOKED:
                return None if found is None else _record(found)
            revoked = await connection.fetchrow(_REVOKE, found["account_id"], key_id, actor)
            assert revoked is not None  # noqa: S101 - narrows: the row is locked
            record = _record(revoked)
            await _audit(connection, record, revoked["revoked_at"], actor, "api_key_revoked", before=_record(found))
            return record


async def look_up(database: Database, key: ApiKey) -> KnownKey | None:
    """What is known of a key that somebody holds; None where it is not one of ours. Raises DatabaseUnavailable.

    Only rows of the account that the key names are looked at, and the comparison takes as long whatever differs.
    """
    async with database.transaction(key.account_id) as connection:
        row = await connection.fetchrow(_LOOK_UP, key.account_id, key.key_id)
    if row is None or not hmac.compare_digest(row["digest"], key.digest):
        return None
    return KnownKey(record=_record(row), is_use_due=row["is_due"])


async def note_use(database: Database, key: ApiKey) -> None:
    """Notes that a key was used now, unless that was noted within the last minute. Raises DatabaseUnavailable."""
    async with database.transaction(key.account_id) as connection:
        await connection.execute(_NOTE_USE, key.account_id, key.key_id)


async def _audit(
    connection: Connection, record: KeyRecord, at: datetime, actor: str, action: str, *, before: KeyRecord | None
) -> None:
    await write_audit(
        connection,
        record.account_id,
        actor=actor,
        action=action,
        before=None if before is None else before.document(),
        after=record.document(),
        at=at,
    )


def _record(row: Row) -> KeyRecord:
    return KeyRecord(
        account_id=row["account_id"],
        key_id=row["key_id"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        revoked_by=row["revoked_by"],
        last_used_at=row["last_used_at"],
        state=State(row["state"]),
    )
