"""Hooks of an account: created, changed, their secrets rotated, deleted and shown. Secrets are encrypted, and shown to nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from goalstream.domain.hooks import hook_source
from goalstream.domain.signing import Scheme, SigningSecret, rotated
from goalstream.errors import DatabaseUnavailable, HookLimitExceeded, HookNotFound, OperatorError, StaleVersion
from goalstream.storage.audit import write_audit
from goalstream.storage.codecs import decode_json
from goalstream.storage.pool import Connection, Row, Transactions
from goalstream.storage.sealing import Seal

MOST_HOOKS = 20
"""Of an account."""

_CLOCK = "select clock_timestamp()"

# Of two that are created at once, the second counts the first.
_LOCK_ACCOUNT = "select pg_advisory_xact_lock(hashtextextended('hooks ' || $1, 0))"

_INSERT = """
insert into hooks (account_id, hook_id, name, scheme, mapping, secrets, is_paused, version, created_at, created_by,
                   updated_at, updated_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_LIST = "select * from hooks where account_id = $1 order by created_at, hook_id"

_FIND = "select * from hooks where account_id = $1 and hook_id = $2"

_LOCK = "select * from hooks where account_id = $1 and hook_id = $2 for update"

_UPDATE = """
update hooks set name = $3, mapping = $4, secrets = $5, is_paused = $6, version = $7, updated_at = $8, updated_by = $9
 where account_id = $1 and hook_id = $2
"""

_DELETE = "delete from hooks where account_id = $1 and hook_id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A hook as it is; `mapping` is JSON. Where its secrets cannot be decrypted there are none, and `problem` says why."""

    account_id: str
    hook_id: str
    name: str
    scheme: Scheme
    mapping: str
    secrets: Sequence[SigningSecret] = field(repr=False)
    problem: str | None = None
    is_paused: bool
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    def document(self) -> dict[str, Any]:
        """The hook as JSON shows it, without its secrets."""
        return {
            "id": self.hook_id,
            "name": self.name,
            "url": f"/hooks/{hook_source(self.account_id, self.hook_id)}",
            "scheme": self.scheme.value,
            "mapping": decode_json(self.mapping),
            "paused": self.is_paused,
            "problem": self.problem,
            "secrets": [{"added_at": one.added_at, "expires_at": one.expires_at} for one in self.secrets],
            "version": self.version,
            "created_at": self.created_at,
            "created_by": self.created_by,
            "updated_at": self.updated_at,
            "updated_by": self.updated_by,
        }


class HookBook:
    """The hooks of one account. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, database: Transactions, *, account_id: str, seal: Seal) -> None:
        self._database = database
        self._account_id = account_id
        self._seal = seal

    async def create(self, hook_id: str, *, name: str, scheme: Scheme, mapping: str, secret: str, actor: str) -> Hook:
        """A new hook. Raises HookLimitExceeded."""
        async with self._database.transaction(self._account_id) as connection:
            await connection.execute(_LOCK_ACCOUNT, self._account_id)
            if len(await connection.fetch(_LIST, self._account_id)) >= MOST_HOOKS:
                raise HookLimitExceeded(MOST_HOOKS)
            now = await connection.fetchval(_CLOCK)
            hook = Hook(
                account_id=self._account_id,
                hook_id=hook_id,
                name=name,
                scheme=scheme,
                mapping=mapping,
                secrets=(SigningSecret(text=secret, added_at=now),),
                is_paused=False,
                version=1,
                created_at=now,
                created_by=actor,
                updated_at=now,
                updated_by=actor,
            )
            await connection.execute(
                _INSERT,
                hook.account_id,
                hook.hook_id,
                hook.name,
                hook.scheme.value,
                hook.mapping,
                self._sealed(hook),
                hook.is_paused,
                hook.version,
                hook.created_at,
                hook.created_by,
                hook.updated_at,
                hook.updated_by,
            )
            await _audit(connection, "created", None, hook)
            return hook

    async def hooks(self) -> Sequence[Hook]:
        """All of them, in the order of creation."""
        async with self._database.transaction(self._account_id) as connection:
            rows = await connection.fetch(_LIST, self._account_id)
        return [hook_of(row, self._seal) for row in rows]

    async def get(self, hook_id: str) -> Hook:
        """The hook. Raises HookNotFound."""
        async with self._database.transaction(self._account_id) as connection:
            row = await connection.fetchrow(_FIND, self._account_id, hook_id)
        if row is None:
            raise HookNotFound(hook_id)
        return hook_of(row, self._seal)

    async def change(
        self, hook_id: str, changes: Mapping[str, Any], *, expected_version: int | None, actor: str
    ) -> Hook:
        """The hook with some of `name, mapping, is_paused` changed; as it was when nothing changes.

        `expected_version` of None accepts any. Raises HookNotFound or StaleVersion, or OperatorError where its secrets cannot be decrypted.
        """
        async with self._database.transaction(self._account_id) as connection:
            before = _readable(await self._lock(connection, hook_id, expected_version))
            if replace(before, **changes) == before:
                return before
            return await self._write(connection, before, changes, actor=actor, action="changed")

    async def rotate(self, hook_id: str, secret: str, *, overlap: timedelta, actor: str) -> Hook:
        """The hook with a new secret in front; those before it hold for `overlap`.

        Raises HookNotFound, or OperatorError where those before it should hold and cannot be decrypted.
        """
        async with self._database.transaction(self._account_id) as connection:
            before = await self._lock(connection, hook_id, None)
            if overlap:
                _readable(before)
            now = await connection.fetchval(_CLOCK)
            secrets = rotated(before.secrets, secret, now=now, overlap=overlap)
            return await self._write(
                connection, before, {"secrets": secrets, "problem": None}, actor=actor, action="secret_rotated"
            )

    async def delete(self, hook_id: str, *, expected_version: int | None, actor: str) -> None:
        """Removes the hook; its calls go when they are old. Raises HookNotFound or StaleVersion."""
        async with self._database.transaction(self._account_id) as connection:
            before = await self._lock(connection, hook_id, expected_version)
            await connection.execute(_DELETE, self._account_id, hook_id)
            now = await connection.fetchval(_CLOCK)
            await _audit(connection, "deleted", replace(before, updated_at=now, updated_by=actor), None)

    async def _lock(self, connection: Connection, hook_id: str, expected_version: int | None) -> Hook:
        row = await connection.fetchrow(_LOCK, self._account_id, hook_id)
        if row is None:
            raise HookNotFound(hook_id)
        if expected_version not in (None, row["version"]):
            raise StaleVersion(row["version"], what="hook")
        return hook_of(row, self._seal)

    async def _write(
        self, connection: Connection, before: Hook, changes: Mapping[str, Any], *, actor: str, action: str
    ) -> Hook:
        now = await connection.fetchval(_CLOCK)
        hook = replace(before, **changes, version=before.version + 1, updated_at=now, updated_by=actor)
        await connection.execute(
            _UPDATE,
            hook.account_id,
            hook.hook_id,
            hook.name,
            hook.mapping,
            self._sealed(hook),
            hook.is_paused,
            hook.version,
            hook.updated_at,
            hook.updated_by,
        )
        await _audit(connection, action, before, hook)
        return hook

    def _sealed(self, hook: Hook) -> bytes:
        return self._seal.seal(_of(hook.hook_id), hook.secrets)


def hook_of(row: Row, seal: Seal) -> Hook:
    """The hook of a row. Raises DatabaseUnavailable where a newer release made it, and this one does not understand it."""
    hook_id = str(row["hook_id"])
    secrets, problem = seal.look(_of(hook_id), row["secrets"])
    if row["scheme"] not in list(Scheme):
        raise DatabaseUnavailable(
            f"hook {hook_id} was made by a newer release ({row['scheme']}): run that one everywhere"
        )
    return Hook(
        account_id=str(row["account_id"]),
        hook_id=hook_id,
        name=row["name"],
        scheme=Scheme(row["scheme"]),
        mapping=row["mapping"],
        secrets=secrets,
        problem=problem,
        is_paused=row["is_paused"],
        version=row["version"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        updated_at=row["updated_at"],
        updated_by=row["updated_by"],
    )


def _readable(hook: Hook) -> Hook:
    """Raises OperatorError where the hook's secrets cannot be decrypted, and so would be lost."""
    if hook.problem:
        raise OperatorError(hook.problem)
    return hook


def _of(hook_id: str) -> str:
    """What secrets are sealed to."""
    return f"hook {hook_id}"


async def _audit(connection: Connection, action: str, before: Hook | None, after: Hook | None) -> None:
    changed = after or before
    assert changed is not None  # noqa: S101 - narrows: one of them is there
    await write_audit(
        connection,
        changed.account_id,
        actor=changed.updated_by,
        action=f"hook_{action}",
        before=None if before is None else before.document(),
        after=None if after is None else after.document(),
        at=changed.updated_at,
    )
