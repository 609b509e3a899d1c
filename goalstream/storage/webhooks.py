"""Webhooks of an account: made, changed, rotated and deleted, each with its audit entry. Their secrets are stored encrypted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from goalstream.domain.signing import SigningSecret, rotated
from goalstream.errors import OperatorError, StaleVersion, WebhookLimitExceeded, WebhookNotFound
from goalstream.storage.audit import write_audit
from goalstream.storage.pool import Connection, Database, Row
from goalstream.storage.sealing import Seal

MAX_WEBHOOKS = 20
"""Of an account."""

# Of two that make the last webhook that an account may have, the second sees that of the first.
_LOCK_ACCOUNT = "select pg_advisory_xact_lock(hashtextextended('webhooks ' || $1, 0))"

_COLUMNS = """
account_id::text, webhook_id::text, url, description, topics, secrets, is_paused, failures_in_a_row, circuit_open_until, version,
created_at, created_by, updated_at, updated_by, clock_timestamp() as now
"""

_COUNT = "select count(*) from webhooks where account_id = $1"

_INSERT = f"""
insert into webhooks (account_id, webhook_id, url, description, topics, secrets, is_paused, version, created_at, created_by,
                      updated_at, updated_by)
select $1, $2, $3, $4, $5, $6, false, 1, $7, $8, $7, $8
returning {_COLUMNS}
"""

_LIST = f"select {_COLUMNS} from webhooks where account_id = $1 order by created_at, webhook_id"

_FIND = f"select {_COLUMNS} from webhooks where account_id = $1 and webhook_id = $2"

_LOCK = f"{_FIND} for update"

# Whoever sends to it still notes how the URL of before fared: it loses the lease, and the new one begins anew when that ends.
_CHANGE = f"""
update webhooks
   set url = $3, description = $4, topics = $5, is_paused = $6,
       failures_in_a_row = case when url = $3 then failures_in_a_row else 0 end,
       circuit_open_until = case when url = $3 then circuit_open_until end,
       lease = case when url = $3 then lease end,
       due_at = case when url = $3 and (is_paused = $6 or $6) then due_at else least(due_at, clock_timestamp()) end,
       version = version + 1, updated_at = clock_timestamp(), updated_by = $7
 where account_id = $1 and webhook_id = $2
returning {_COLUMNS}
"""

_ROTATE = f"""
update webhooks
   set secrets = $3, version = version + 1, updated_at = clock_timestamp(), updated_by = $4
 where account_id = $1 and webhook_id = $2
returning {_COLUMNS}
"""

_DELETE = "delete from webhooks where account_id = $1 and webhook_id = $2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook, with the secrets that hold; none of them, and why, where they cannot be decrypted."""

    account_id: str
    webhook_id: str
    url: str
    description: str
    topics: Sequence[str]
    secrets: Sequence[SigningSecret]
    problem: str | None
    is_paused: bool
    failures_in_a_row: int
    circuit_open_until: datetime | None
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def state(self) -> str:
        """Whether messages are sent."""
        if self.is_paused:
            return "paused"
        return "active" if self.circuit_open_until is None else "failing"

    def document(self) -> dict[str, Any]:
        """The webhook as JSON shows it: of secrets only since when and until when they hold."""
        return {
            "id": self.webhook_id,
            "account_id": self.account_id,
            "url": self.url,
            "description": self.description,
            "topics": list(self.topics),
            "state": self.state,
            "problem": self.problem,
            "failures_in_a_row": self.failures_in_a_row,
            "circuit_open_until": self.circuit_open_until,
            "secrets": [{"added_at": one.added_at, "expires_at": one.expires_at} for one in self.secrets],
            "version": self.version,
            "created_at": self.created_at,
            "created_by": self.created_by,
            "updated_at": self.updated_at,
            "updated_by": self.updated_by,
        }


class WebhookBook:
    """The webhooks of one account. Everything raises DatabaseUnavailable while PostgreSQL is away."""

    def __init__(self, database: Database, *, account_id: str, seal: Seal) -> None:
        self._database = database
        self._account_id = account_id
        self._seal = seal

    async def create(self, *, url: str, description: str, topics: Sequence[str], secret: str, actor: str) -> Webhook:
        """A new webhook, whose messages `secret` signs. Raises WebhookLimitExceeded."""
        webhook_id = str(uuid4())
        async with self._database.transaction(self._account_id) as connection:
            await connection.execute(_LOCK_ACCOUNT, self._account_id)
            if await connection.fetchval(_COUNT, self._account_id) >= MAX_WEBHOOKS:
                raise WebhookLimitExceeded(MAX_WEBHOOKS)
            now = await connection.fetchval("select clock_timestamp()")
            secrets = self._seal.seal(_of(webhook_id), [SigningSecret(text=secret, added_at=now)])
            values = url, description, list(topics), secrets, now, actor
            row = await connection.fetchrow(_INSERT, self._account_id, webhook_id, *values)
            webhook = self._webhook(row)
            await self._audit(connection, "webhook_created", actor, before=None, after=webhook)
        return webhook

    async def webhooks(self) -> Sequence[Webhook]:
        """All of them, in the order of creation."""
        async with self._database.transaction(self._account_id) as connection:
            return [self._webhook(row) for row in await connection.fetch(_LIST, self._account_id)]

    async def get(self, webhook_id: str) -> Webhook:
        """Raises WebhookNotFound."""
        async with self._database.transaction(self._account_id) as connection:
            return await self._find(connection, _FIND, webhook_id, None)

    async def change(
        self, webhook_id: str, changes: Mapping[str, Any], *, expected_version: int | None, actor: str
    ) -> Webhook:
        """The webhook with some of `url, description, topics, is_paused` changed; as it was, when nothing changes.

        `expected_version` of None accepts any. Raises WebhookNotFound or StaleVersion.
        """
        async with self._database.transaction(self._account_id) as connection:
            before = await self._find(connection, _LOCK, webhook_id, expected_version)
            known = {
                "url": before.url,
                "description": before.description,
                "topics": list(before.topics),
                "is_paused": before.is_paused,
            }
            wanted = {**known, **changes}
            if wanted == known:
                return before
            row = await connection.fetchrow(_CHANGE, self._account_id, webhook_id, *wanted.values(), actor)
            after = self._webhook(row)
            await self._audit(connection, "webhook_changed", actor, before=before, after=after)
        return after

    async def rotate(self, webhook_id: str, secret: str, *, overlap: timedelta, actor: str) -> Webhook:
        """The webhook with a new secret; those before sign beside it for `overlap` at the most, the newest five of all.

        Raises WebhookNotFound; and OperatorError where the secrets of before are to hold and cannot be decrypted.
        """
        async with self._database.transaction(self._account_id) as connection:
            before = await self._find(connection, _LOCK, webhook_id, None)
            if before.problem is not None and overlap:
                raise OperatorError(before.problem)
            now = await connection.fetchval("select clock_timestamp()")
            secrets = rotated(before.secrets, secret, now=now, overlap=overlap)
            sealed = self._seal.seal(_of(webhook_id), secrets)
            row = await connection.fetchrow(_ROTATE, self._account_id, webhook_id, sealed, actor)
            after = self._webhook(row)
            await self._audit(connection, "webhook_secret_rotated", actor, before=before, after=after)
        return after

    async def delete(self, webhook_id: str, *, expected_version: int | None, actor: str) -> None:
        """Nothing more is sent. Raises WebhookNotFound or StaleVersion."""
        async with self._database.transaction(self._account_id) as connection:
            before = await self._find(connection, _LOCK, webhook_id, expected_version)
            await connection.execute(_DELETE, self._account_id, webhook_id)
            await self._audit(connection, "webhook_deleted", actor, before=before, after=None)

    async def _find(
        self, connection: Connection, statement: str, webhook_id: str, expected_version: int | None
    ) -> Webhook:
        row = await connection.fetchrow(statement, self._account_id, webhook_id)
        if row is None:
            raise WebhookNotFound(f"There is no webhook {webhook_id}")
        if expected_version is not None and expected_version != row["version"]:
            raise StaleVersion(row["version"], what="webhook")
        return self._webhook(row)

    def _webhook(self, row: Row | None) -> Webhook:
        assert row is not None  # noqa: S101 - narrows: what was written is returned
        values = dict(row)
        now, sealed = values.pop("now"), values.pop("secrets")
        secrets, problem = self._seal.look(_of(values["webhook_id"]), sealed)
        return Webhook(**values, secrets=[one for one in secrets if one.holds(now)], problem=problem)

    async def _audit(
        self, connection: Connection, action: str, actor: str, *, before: Webhook | None, after: Webhook | None
    ) -> None:
        newest = after or before
        await write_audit(
            connection,
            self._account_id,
            actor=actor,
            action=action,
            before=None if before is None else before.document(),
            after=None if after is None else after.document(),
            version=None if newest is None else newest.version,
        )


def _of(webhook_id: str) -> str:
    """What the secrets of a webhook are sealed for."""
    return f"webhook {webhook_id}"
