"""Answers that are kept for a day, so that a request which is repeated with its `Idempotency-Key` gets the first one again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from goalstream.storage.codecs import encode_json
from goalstream.storage.pool import Connection

KEPT_FOR = timedelta(hours=24)

# The lock ends with the transaction, whatever ends that. Of two keys with the same digest one is asked to wait for nothing.
_CLAIM = "select pg_try_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))"

_FIND = """
select fingerprint, status, headers, body from idempotency_keys
 where account_id = $1 and key = $2 and answered_at > clock_timestamp() - $3::interval
"""

_KEEP = """
insert into idempotency_keys (account_id, key, fingerprint, status, headers, body, answered_at)
values ($1, $2, $3, $4, $5, $6, clock_timestamp())
on conflict (account_id, key) do update
   set fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers, body = excluded.body,
       answered_at = excluded.answered_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An answer, and the digest (32 bytes) of what was asked."""

    fingerprint: bytes
    status: int
    headers: Mapping[str, str]
    body: bytes


async def claim(connection: Connection, account_id: str, key: str) -> bool:
    """Takes a key for the rest of the transaction; False while another transaction has it. Raises what the driver raises."""
    return bool(await connection.fetchval(_CLAIM, account_id, key))


async def find_answer(connection: Connection, account_id: str, key: str) -> KeptAnswer | None:
    """What was answered to a key within the last day. Raises what the driver raises."""
    row = await connection.fetchrow(_FIND, account_id, key, KEPT_FOR)
    if row is None:
        return None
    return KeptAnswer(
        fingerprint=row["fingerprint"], status=row["status"], headers=json.loads(row["headers"]), body=row["body"]
    )


async def keep_answer(connection: Connection, account_id: str, key: str, answer: KeptAnswer) -> None:
    """Keeps an answer; it is found once the transaction has committed. Raises what the driver raises."""
    headers = encode_json(dict(answer.headers))
    await connection.execute(_KEEP, account_id, key, answer.fingerprint, answer.status, headers, answer.body)
