"""Audit entries that are about no workflow: who did what, and what was there before and after it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from goalstream.storage.codecs import encode_json
from goalstream.storage.pool import Connection

_INSERT = """
insert into audit (account_id, at, actor, action, version, before, after)
values ($1, coalesce($2, clock_timestamp()), $3, $4, $5, $6, $7)
"""


async def write_audit(
    connection: Connection,
    account_id: str,
    *,
    actor: str,
    action: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    at: datetime | None = None,
    version: int | None = None,
) -> None:
    """Writes an entry; without `at` it is of this moment. Secrets have no place in it."""
    documents = (None if one is None else encode_json(one) for one in (before, after))
    await connection.execute(_INSERT, account_id, at, actor, action, version, *documents)
