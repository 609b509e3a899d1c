"""`goalstream api` and `goalstream worker` as processes, a deliverer with a receiver, and an account that does something there."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import SecretStr

from goalstream.api.tokens import issue_token
from goalstream.config import Settings
from goalstream.deliverer import Deliverer
from tests.acceptance.crm import envelope, environment, eventually, running_worker
from tests.conftest import JWT_SECRET
from tests.integration.builders import new_id
from tests.integration.endpoints import KEY
from tests.services.receiver import Receiver, running_receiver

ALL_SCOPES = "goals:read goals:write webhooks:read webhooks:write operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Where the API listens, the settings of everything, and an endpoint for webhooks."""

    url: str
    settings: Settings
    receiver: Receiver


@asynccontextmanager
async def running_stack(settings: Settings) -> AsyncIterator[Stack]:
    """An API, a worker and a deliverer, once the API is ready."""
    settings = settings.model_copy(
        update={"encryption_keys": SecretStr(KEY), "webhook_private_networks": "127.0.0.0/8"}
    )
    async with running_worker(settings), running_receiver() as receiver, running_api(settings) as url:
        deliverer = asyncio.create_task(Deliverer(settings).run())
        try:
            yield Stack(url=url, settings=settings, receiver=receiver)
        finally:
            deliverer.cancel()
            await asyncio.wait([deliverer])


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[str]:
    """`goalstream api` on a free port, or on that of the settings; its address once it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "goalstream", "api", env=environment(settings), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    found = None
    while found is None:
        found = re.search(rb"listening on (http://\S+)", await process.stderr.readline())
    url = found[1].decode()
    drain = asyncio.create_task(process.stderr.read())
    try:
        async with httpx.AsyncClient(base_url=url) as client:

            async def is_ready() -> bool:
                return (await client.get("/readyz")).is_success

            await eventually(is_ready)
        yield url
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await drain


def token_of(account_id: str, *, scope: str = ALL_SCOPES, subject: str = "ada", seconds: int = 600) -> str:
    return issue_token(
        JWT_SECRET,
        account_id=account_id,
        subject=subject,
        scope=scope,
        expires_in_seconds=seconds,
        now=int(time.time()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with a workflow, as the CRM and other people use it over HTTP."""

    stack: Stack
    account_id: str = field(default_factory=new_id)
    workflow_id: str = field(default_factory=new_id)

    @property
    def token(self) -> str:
        return token_of(self.account_id)

    @property
    def goals(self) -> str:
        return f"/workflows/{self.workflow_id}/goals"

    async def ask(self, method: str, path: str, *, subject: str = "ada", **options: Any) -> Any:
        """The answer's document; None where it has none."""
        headers = {"authorization": f"Bearer {token_of(self.account_id, subject=subject)}"} | options.pop("headers", {})
        async with httpx.AsyncClient(base_url=f"{self.stack.url}/api/v1", headers=headers, timeout=20) as client:
            answer = await client.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def send(self, *events: Mapping[str, Any]) -> None:
        """Sends events, all of which are good."""
        answer = await self.ask("POST", "/events", json=list(events))
        assert answer["refused"] == 0, answer

    async def name_workflow(self, name: str = "Spring promo", **data: Any) -> None:
        self_made = {"workflow_id": self.workflow_id, "name": name, "status": "active"} | data
        await self.send(envelope("workflow.status.changed", self.account_id, self_made, timestamp=ago(days=9)))

    async def add_goal(self, tag: str = "Purchased", **values: Any) -> dict[str, Any]:
        """A goal, by default a tag."""
        body = {"goal_type": "tag_added", "criteria": {"tag_name": tag}} | values
        found: dict[str, Any] = await self.ask("POST", self.goals, json=body)
        return found

    async def change_goal(self, goal: Mapping[str, Any], **changes: Any) -> None:
        """What somebody else changes meanwhile."""
        path, headers = f"{self.goals}/{goal['id']}", {"if-match": f'"{goal["version"]}"'}
        await self.ask("PATCH", path, subject="grace", json=changes, headers=headers)

    async def enroll(self, *contacts: str, **data: Any) -> None:
        """These contacts entered two days ago."""
        topic, fields = "workflow.enrollment.started", {"workflow_id": self.workflow_id, "entered_at": ago(days=2)}
        await self.send(
            *(
                envelope(
                    topic,
                    self.account_id,
                    fields | {"contact_id": one, "enrollment_id": new_id()} | data,
                    timestamp=ago(days=2),
                )
                for one in contacts
            )
        )

    async def tag(self, contact: str, tag: str = "Purchased", **changes: Any) -> dict[str, Any]:
        """The contact gets a tag, now; the event that says so."""
        event = envelope("contact.tag.added", self.account_id, {"contact_id": contact, "tag_name": tag}, **changes)
        await self.send(event)
        return event

    async def achieved(self, contact: str) -> dict[str, Any]:
        """The contact's achievement, once there is one."""

        async def first() -> Any:
            page = await self.ask("GET", f"/contacts/{contact}/achievements")
            return page["achievements"] and page["achievements"][0]

        found: dict[str, Any] = await eventually(first)
        return found


def ago(**length: float) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()
