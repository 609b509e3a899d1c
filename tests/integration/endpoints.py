"""Webhooks of accounts in a real database, and messages for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.fernet import Fernet

from goalstream.config import Settings
from goalstream.domain.messages import GOAL_ACHIEVED_TOPIC, GOAL_EXIT_TOPIC, GOAL_REVOKED_TOPIC, EncodedMessage
from goalstream.domain.signing import SigningSecret, make_secret
from goalstream.storage.deliverers import DeliveryQueue, PublishedMessage
from goalstream.storage.pool import Database
from goalstream.storage.sealing import Seal
from goalstream.webhooks.client import Client
from goalstream.webhooks.dispatcher import Dispatcher
from tests.conftest import settings_for
from tests.integration.builders import new_id

KEY = Fernet.generate_key().decode()
SECRET = make_secret(bytes(range(32)))
ALL_TOPICS = (GOAL_ACHIEVED_TOPIC, GOAL_REVOKED_TOPIC, GOAL_EXIT_TOPIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A webhook."""

    account_id: str
    webhook_id: str
    database: Database

    async def deliveries(self) -> dict[str, dict[str, Any]]:
        """All rows of its deliveries, by message."""
        async with self.database.connection() as connection:
            rows = await connection.fetch(
                "select *, message_id::text as id from webhook_deliveries where webhook_id = $1", self.webhook_id
            )
        return {row["id"]: dict(row) for row in rows}

    async def attempts(self, message_id: str) -> Sequence[Mapping[str, Any]]:
        """What was tried for a message, in order."""
        async with self.database.connection() as connection:
            return [
                dict(row)
                for row in await connection.fetch(
                    "select * from webhook_attempts where webhook_id = $1 and message_id = $2 order by at",
                    self.webhook_id,
                    message_id,
                )
            ]

    async def states(self) -> dict[str, int]:
        """How many deliveries there are, by state."""
        found: dict[str, int] = {}
        for row in (await self.deliveries()).values():
            found[row["state"]] = found.get(row["state"], 0) + 1
        return found

    async def row(self) -> dict[str, Any]:
        """Its own row."""
        async with self.database.connection() as connection:
            row = await connection.fetchrow("select * from webhooks where webhook_id = $1", self.webhook_id)
        assert row is not None
        return dict(row)

    async def is_idle(self) -> bool:
        """Whether nothing will ever be due as things are."""
        async with self.database.connection() as connection:
            return bool(
                await connection.fetchval(
                    "select due_at = 'infinity' from webhooks where webhook_id = $1", self.webhook_id
                )
            )

    async def make_due(self) -> None:
        """Nobody waits for a back-off any more, nor for a circuit to close."""
        async with self.database.transaction() as connection:
            await connection.execute(
                "update webhook_deliveries set next_attempt_at = clock_timestamp() where webhook_id = $1 and state = 'pending'",
                self.webhook_id,
            )
            await connection.execute(
                "update webhooks set due_at = clock_timestamp(), circuit_open_until = null where webhook_id = $1",
                self.webhook_id,
            )


async def add_endpoint(
    database: Database,
    url: str,
    *,
    account_id: str | None = None,
    topics: Sequence[str] = ALL_TOPICS,
    secrets: Sequence[SigningSecret] | None = None,
    seal: Seal | None = None,
) -> Endpoint:
    """A webhook that was made a minute ago."""
    account_id, webhook_id = account_id or new_id(), new_id()
    made_at = datetime.now(UTC) - timedelta(minutes=1)
    secrets = secrets or [SigningSecret(text=SECRET, added_at=made_at)]
    async with database.transaction() as connection:
        await connection.execute(
            """insert into webhooks (account_id, webhook_id, url, description, topics, secrets, is_paused, version,
                                     created_at, created_by, updated_at, updated_by)
               values ($1, $2, $3, '', $4, $5, false, 1, $6, 'test', $6, 'test')""",
            account_id, webhook_id, url, list(topics), (seal or Seal(KEY)).seal(f"webhook {webhook_id}", secrets), made_at,
        )  # fmt: skip
    return Endpoint(account_id=account_id, webhook_id=webhook_id, database=database)


def message(account_id: str, *, topic: str = GOAL_ACHIEVED_TOPIC, **changes: Any) -> PublishedMessage:
    """A message that was published now."""
    now = datetime.now(UTC)
    contact_id = changes.pop("contact_id", None) or new_id()
    values: dict[str, Any] = {
        "account_id": account_id,
        "message_id": new_id(),
        "topic": topic,
        "subject": contact_id,
        "time": now,
        "body": json.dumps({"account_id": account_id, "contact_id": contact_id, "amount": 12.50}),
        "traceparent": None,
    }
    published_at = changes.pop("published_at", now)
    return PublishedMessage(
        message=EncodedMessage(**(values | changes)), contact_id=contact_id, published_at=published_at
    )


@asynccontextmanager
async def running_dispatcher(database: Database, *, concurrency: int = 16, **changes: Any) -> AsyncIterator[Dispatcher]:
    """A dispatcher that may call the loopback, and waits a second for answers."""
    changes = {"webhook_private_networks": "127.0.0.0/8,::1/128", "webhook_timeout_seconds": 1} | changes
    settings: Settings = settings_for("127.0.0.1:9", "postgresql://nobody@127.0.0.1/none", "").model_copy(
        update=changes
    )
    client = Client.of(settings)
    dispatcher = Dispatcher(
        DeliveryQueue(database),
        client,
        Seal(KEY),
        concurrency=concurrency,
        timeout_seconds=settings.webhook_timeout_seconds,
    )
    try:
        yield dispatcher
    finally:
        await dispatcher.close()
        await client.close()


async def send_all(dispatcher: Dispatcher) -> None:
    """Sends whatever is due, and waits until it was sent."""
    while True:
        await dispatcher.dispatch()
        if not dispatcher.turns:
            return
        await dispatcher.wait()
