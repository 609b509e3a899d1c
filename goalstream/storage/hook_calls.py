"""Calls of hooks: who is called, and what a call was answered, so that its repetition gets the same answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from goalstream.storage.codecs import decode_json
from goalstream.storage.hooks import Hook, hook_of
from goalstream.storage.pool import Connection, Database
from goalstream.storage.sealing import Seal

KEPT_FOR = timedelta(days=30)

# There is a row in any case: the time of a call that names no hook is as good as another's.
_LOOK_UP = """
select clock_timestamp() as now, hooks.*
  from (select) as call left join hooks on hooks.account_id = $1 and hooks.hook_id = $2
"""

# The lock ends with the transaction, whatever ends that.
_CLAIM = "select pg_try_advisory_xact_lock(hashtextextended('hook ' || $1 || ' ' || $2, 0))"

_FIND = """
select signature, status, answer from hook_calls where account_id = $1 and hook_id = $2 and call_id = $3
"""

_KEEP = """
insert into hook_calls (account_id, hook_id, call_id, received_at, signature, status, answer)
values ($1, $2, $3, clock_timestamp(), $4, $5, $6)
on conflict (account_id, hook_id, call_id) do update
   set received_at = excluded.received_at, signature = excluded.signature, status = excluded.status,
       answer = excluded.answer
"""

# The status is named for the sake of the index alone.
_LIST = """
select call_id, received_at, status, answer from hook_calls
 where account_id = $1 and hook_id = $2 and status > 0 and (received_at, call_id) < ($3, $4)
 order by received_at desc, call_id desc
 limit $5
"""

_LATEST = datetime.max.replace(tzinfo=UTC)
"""Later than any call: a condition that is always there goes through the index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    """A call that was answered: a digest of what was signed (32 bytes), and the answer as JSON."""

    signature: bytes
    status: int
    answer: str


async def look_up(database: Database, account_id: str, hook_id: str, seal: Seal) -> tuple[Hook | None, datetime]:
    """The hook that a call names, if there is one, and the time. Raises DatabaseUnavailable."""
    async with database.transaction(account_id) as connection:
        row = await connection.fetchrow(_LOOK_UP, account_id, hook_id)
    assert row is not None  # noqa: S101 - narrows: of a left join
    return None if row["hook_id"] is None else hook_of(row, seal), row["now"]


async def claim(connection: Connection, hook_id: str, call_id: str) -> bool:
    """Takes a call for the rest of the transaction; False while another transaction has it. Raises what the driver raises."""
    return bool(await connection.fetchval(_CLAIM, hook_id, call_id))


async def find_call(connection: Connection, hook: Hook, call_id: str) -> KnownCall | None:
    """What a call was answered. Raises what the driver raises."""
    row = await connection.fetchrow(_FIND, hook.account_id, hook.hook_id, call_id)
    return None if row is None else KnownCall(**row)


async def keep_call(connection: Connection, hook: Hook, call_id: str, call: KnownCall) -> None:
    """Keeps an answer, in the place of an earlier one. Raises what the driver raises."""
    await connection.execute(_KEEP, hook.account_id, hook.hook_id, call_id, call.signature, call.status, call.answer)


async def calls(
    database: Database, account_id: str, hook_id: str, *, limit: int, before: tuple[datetime, str] | None
) -> Sequence[dict[str, Any]]:
    """Up to `limit` calls of a hook, newest first: all, or those before a (received_at, call id). Raises DatabaseUnavailable."""
    async with database.transaction(account_id) as connection:
        rows = await connection.fetch(_LIST, account_id, hook_id, *(before or (_LATEST, "")), limit)
    return [dict(row) | {"answer": decode_json(row["answer"])} for row in rows]
