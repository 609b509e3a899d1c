"""`goalstream webhooks` as a person types it, against an API on a port of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from cryptography.fernet import Fernet

from goalstream.domain.texts import is_uuid
from goalstream.storage.pool import Database
from tests.acceptance.command import run
from tests.integration.builders import new_id
from tests.integration.serving import bearer, serving, settings_of, until_ready

pytestmark = pytest.mark.timeout(300)

URL = "https://hooks.example.com/goalstream"
Command = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]


@pytest.fixture
async def webhooks(database_url: str) -> AsyncIterator[Command]:
    settings = settings_of(database_url, encryption_keys=Fernet.generate_key().decode())
    token = bearer(scope="webhooks:read webhooks:write")["authorization"].removeprefix("Bearer ")
    async with serving(settings) as (client, _):
        await until_ready(client, lambda answer: answer.is_success)
        variables = {"GOALSTREAM_API_URL": str(client.base_url), "GOALSTREAM_API_TOKEN": token}

        async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(run, "webhooks", *arguments, **variables)

        yield command


def fields(found: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The lines of one webhook, whose names are printed in a column of their own."""
    assert found.returncode == 0, found.stderr
    column = len("failures in a row") + 1
    return {line[:column].strip(): line[column:].strip() for line in found.stdout.splitlines()}


async def test_a_webhook_is_added_changed_rotated_paused_and_deleted(webhooks: Command) -> None:
    added = await webhooks("add", URL, "--topic", "workflow.exit.goal", "--description", "our \x1b[31mshop")
    told = fields(added)
    webhook, secret = told["id"], told["secret"]
    assert is_uuid(webhook)
    assert secret.startswith("whsec_")
    assert added.stderr == "added; the secret is shown this once\n"
    assert (told["topics"], told["description"]) == ("workflow.exit.goal", "our \\x1b[31mshop")

    listed = await webhooks("list")
    heading, row = listed.stdout.splitlines()
    assert heading.split() == ["ID", "URL", "TOPICS", "STATE", "VERSION", "DESCRIPTION"]
    assert row.split()[:5] == [webhook, URL, "workflow.exit.goal", "active", "1"]
    assert listed.stderr == "1 webhook\n"
    assert secret not in listed.stdout + (await webhooks("show", webhook)).stdout

    edited = json.loads((await webhooks("edit", webhook, "--url", URL + "2", "--json")).stdout)
    assert (edited["url"], edited["topics"], edited["version"]) == (URL + "2", ["workflow.exit.goal"], 2)
    stale = await webhooks("pause", webhook, "--if-version", "1")
    assert stale.returncode == 1
    assert "somebody changed it meanwhile" in stale.stderr
    assert fields(await webhooks("pause", webhook))["state"] == "paused"
    assert fields(await webhooks("resume", webhook, "--if-version", "3"))["state"] == "active"

    rotated = await webhooks("rotate", webhook, "--overlap-seconds", "60")
    assert fields(rotated)["secret"] not in ("", secret)
    assert fields(rotated)["secrets"].count(" until ") == 1
    assert rotated.stderr == "rotated; the secret is shown this once\n"

    deleted = await webhooks("delete", webhook, "--if-version", "5")
    assert (deleted.returncode, deleted.stdout) == (0, f"{webhook} is deleted\n")
    missing = await webhooks("show", webhook)
    assert (missing.returncode, missing.stderr) == (1, f"goalstream: There is no webhook {webhook}\n")


async def test_deliveries_are_tested_listed_shown_and_redriven(webhooks: Command, database: Database) -> None:
    webhook = json.loads((await webhooks("add", URL, "--json")).stdout)["id"]
    tested = await webhooks("test", webhook)
    message = tested.stdout.splitlines()[1].split()[0]
    assert tested.stderr == f"look what comes of it: goalstream webhooks delivery {webhook} {message}\n"
    for _ in range(2):
        await webhooks("test", webhook, "--json")
    async with database.transaction() as connection:
        await connection.execute(
            "update webhook_deliveries set state = 'parked', next_attempt_at = null where message_id <> $1", message
        )
        await connection.execute(
            """insert into webhook_attempts select account_id, webhook_id, message_id, clock_timestamp(), $1, '{}', 0.25, 502,
                      'answers 502', E'bad \\x1b gateway' from webhook_deliveries where message_id = $2""",
            URL,
            message,
        )
    listed = await webhooks("deliveries", webhook, "--limit", "2")
    assert listed.stderr == "2 deliveries\n"
    assert [line.split()[1] for line in listed.stdout.splitlines()[1:]] == ["webhook.test"] * 2
    pending = await webhooks("deliveries", webhook, "--state", "pending", "--json")
    assert [json.loads(line)["message_id"] for line in pending.stdout.splitlines()] == [message]
    assert pending.stderr == ""

    shown = await webhooks("delivery", webhook, message)
    assert '"type":"webhook.test"' in shown.stdout
    assert shown.stdout.splitlines()[-1].split()[1:] == ["0.250", "502", "answers", "502", "bad", "\\x1b", "gateway"]
    assert json.loads((await webhooks("delivery", webhook, message, "--json")).stdout)["attempts"][0]["status"] == 502

    assert (await webhooks("redrive", webhook, message)).stderr == "sent again at once\n"
    assert (await webhooks("redrive", webhook)).stdout == "2 messages are sent again\n"
    assert json.loads((await webhooks("redrive", webhook, "--json")).stdout) == {"redriven": 0}


async def test_what_the_api_refuses_is_told_with_its_place(webhooks: Command) -> None:
    refused = await webhooks("add", "https://127.0.0.1/")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "goalstream: must not lead to 127.0.0.1, which is not public at /url\n"


def test_wrong_usage_is_told_before_anything_is_asked() -> None:
    found = run("webhooks", "delivery", "shop", "order")
    assert found.returncode == 2
    assert found.stderr.splitlines() == [
        "goalstream: WEBHOOK: shop is no UUID",
        "goalstream: MESSAGE: order is no UUID",
    ]
    nothing = run("webhooks", "edit", new_id())
    assert (nothing.returncode, nothing.stderr) == (
        2,
        "goalstream: nothing to change: name --url, --topic or --description\n",
    )
