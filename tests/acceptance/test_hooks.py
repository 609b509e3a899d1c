"""Hooks from outside: commands as a person types them, and a payment at Stripe that lets a contact out of its workflow."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from goalstream.config import Settings
from goalstream.domain.goals import PurchaseCriteria
from goalstream.intake import Intake, intake_of
from goalstream.storage.pool import Database
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, running_worker
from tests.integration.builders import World
from tests.integration.serving import ACCOUNT, bearer, serving, settings_of, until_ready
from tests.pages import ROOT, blocks
from tests.pages import run as run_script
from tests.senders import (
    CONTACT,
    SECRETS,
    calendly_event,
    now,
    sign_stripe,
    stripe_event,
    written,
)
from tests.unit.streams.fakes import FakeProducer

pytestmark = pytest.mark.timeout(300)

SCOPE = "webhooks:read webhooks:write"
Command = Callable[..., Awaitable[subprocess.CompletedProcess[str]]]
MAPPING = {"events": [{"event_type": "form.submitted", "data": {"form_id": "form", "contact_id": "contact"}}]}


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[httpx.AsyncClient]:
    intake = Intake(FakeProducer(), topic_prefix="")
    async with serving(settings_of(database_url), intake=intake) as (found, _):
        await until_ready(found, lambda answer: answer.is_success)
        yield found


@pytest.fixture
def hooks(client: httpx.AsyncClient) -> Command:
    token = bearer(scope=SCOPE)["authorization"].removeprefix("Bearer ")
    variables = {"GOALSTREAM_API_URL": str(client.base_url), "GOALSTREAM_API_TOKEN": token}

    async def command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, "hooks", *arguments, stdin=stdin, **variables)

    return command


def fields(found: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert found.returncode == 0, found.stderr
    return {line[:8].strip(): line[8:].strip() for line in found.stdout.splitlines()}


async def test_a_hook_is_added_called_rotated_paused_and_deleted(client: httpx.AsyncClient, hooks: Command) -> None:
    secret = SECRETS["stripe"]
    added = await hooks("add", "our \x1b[31mshop", "--preset", "stripe", "--secret-file", "-", stdin=f"{secret}\n")
    told = fields(added)
    hook = told["id"]
    assert (told["name"], told["scheme"], told["state"], added.stderr) == (
        "our \\x1b[31mshop",
        "stripe",
        "active",
        "added\n",
    )
    assert secret not in added.stdout

    body = written(stripe_event("payment_intent.succeeded", metadata={"contact_id": CONTACT}))
    answer = await client.post(told["url"], content=body, headers=sign_stripe(body, at=now()))
    assert answer.status_code == 202
    listed = (await hooks("calls", hook)).stdout.splitlines()
    assert listed[0].split() == ["RECEIVED", "CALL", "STATUS", "RESULT"]
    assert listed[1].split()[1:] == ["evt_3Qb7", "202", "payment.completed", "evt_3Qb7"]

    rotated = await hooks("rotate", hook, "--secret-file", "-", "--overlap-seconds", "60", stdin="another secret")
    assert rotated.stderr == "rotated\n"
    assert fields(rotated)["secrets"].count(" until ") == 1
    assert fields(await hooks("pause", hook))["state"] == "paused"
    stale = await hooks("resume", hook, "--if-version", "1")
    assert (stale.returncode, "its version is now 3" in stale.stderr) == (1, True)
    assert fields(await hooks("resume", hook, "--if-version", "3"))["state"] == "active"
    assert fields(await hooks("edit", hook, "--name", "Shop"))["name"] == "Shop"
    assert (await hooks("list")).stdout.splitlines()[1].split()[:3] == [hook, "Shop", "stripe"]
    assert (await hooks("delete", hook)).stdout == f"{hook} is deleted\n"
    gone = await hooks("show", hook)
    assert (gone.returncode, gone.stderr) == (1, f"goalstream: There is no hook {hook}\n")


async def test_a_secret_that_is_made_is_shown_once_and_json_is_json(hooks: Command, tmp_path: Path) -> None:
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps(MAPPING))
    added = await hooks("add", "Shop", "--scheme", "standard", "--mapping", str(mapping))
    assert added.stderr == "added; the secret is shown this once\n"
    assert fields(added)["secret"].startswith("whsec_")
    (line,) = (await hooks("list", "--json")).stdout.splitlines()
    shown = json.loads(line)
    assert (shown["mapping"], "secret" in shown) == (MAPPING, False)
    edited = await hooks("edit", shown["id"], "--mapping", "-", "--json", stdin=json.dumps(MAPPING | {"call_id": "id"}))
    assert json.loads(edited.stdout)["mapping"]["call_id"] == "id"


async def test_a_dry_run_shows_the_events_of_a_body_and_what_is_wrong(hooks: Command, tmp_path: Path) -> None:
    good, wrong = tmp_path / "good.json", tmp_path / "wrong.json"
    good.write_bytes(written(calendly_event()))
    wrong.write_text('{"form": "f", "contact": "7"}')
    found = await hooks("dry-run", str(good), "--preset", "calendly")
    assert found.returncode == 0
    assert "appointment.booked" in found.stdout
    assert found.stderr == "1 event, and nothing is sent\n"
    found = await hooks("dry-run", str(wrong), "--mapping", "-", stdin=json.dumps(MAPPING))
    assert found.returncode == 1
    assert "/events/0/data/contact_id" in found.stdout
    hook = fields(await hooks("add", "Shop", "--scheme", "standard", "--mapping", "-", stdin=json.dumps(MAPPING)))["id"]
    found = await hooks("dry-run", str(wrong), "--hook", hook, "--json")
    assert (found.returncode, len(json.loads(found.stdout)["events"])) == (1, 1)
    for arguments, told in (
        ((str(good),), "name one of --hook, --preset and --mapping"),
        ((str(tmp_path), "--preset", "stripe"), "Is a directory"),
        (("-", "--preset", "stripe"), "is no JSON"),
        ((str(good), "--hook", "x"), "HOOK: x is no UUID"),
    ):
        refused = await hooks("dry-run", *arguments)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert len((await hooks("presets")).stdout.splitlines()) == 4
    nothing = await hooks("edit", hook)
    assert (nothing.returncode, nothing.stderr) == (2, "goalstream: nothing to change: name --name or --mapping\n")


async def test_what_the_page_about_hooks_says_works(client: httpx.AsyncClient, tmp_path: Path) -> None:
    page = ROOT / "docs" / "hooks.md"
    commands = [text for text in blocks(page, "sh") if not text.startswith("export ")]
    (mapping,) = [text for text in blocks(page, "json") if "call_id" in text]
    order = {"id": "A-17", "cents": 4900, "currency": "EUR", "lines": [], "customer": {"crm_id": CONTACT}}
    for name, content in (
        ("calendly-key", "the key of calendly"),
        ("typeform-secret", "the secret of typeform"),
        ("new-secret", "another key of calendly"),
        ("shop.json", mapping),
        ("order.json", json.dumps({"type": "order.paid", "order": order | {"paid_at": "2026-03-10T12:00:00Z"}})),
    ):
        (tmp_path / name).write_text(content)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "GOALSTREAM_API_URL": str(client.base_url),
        "GOALSTREAM_API_TOKEN": bearer(scope=SCOPE)["authorization"].removeprefix("Bearer "),
        "NO_COLOR": "1",
    }
    made = ""
    for text in commands:
        done = await asyncio.to_thread(run_script, text.replace("HOOK", made), environment, tmp_path)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        made = made or done.stdout.split()[1]
    assert len(commands) == 4


async def test_a_payment_at_stripe_lets_a_contact_out(settings: Settings, database: Database) -> None:
    world = World(database, account_id=ACCOUNT)
    await world.add_goal(PurchaseCriteria(min_amount=Decimal("49.00"), currency="EUR"))
    ids = {"enrollment_id": world.enrollment_id, "workflow_id": world.workflow_id, "contact_id": world.contact_id}
    started = {"event_type": "workflow.enrollment.started", "data": ids | {"entered_at": "2026-01-01T00:00:00Z"}}
    intake = intake_of(settings)
    async with Crm(settings) as crm, running_worker(settings), serving(settings, intake=intake) as (client, _):
        headers = bearer(scope=SCOPE)
        new = {"name": "Stripe", "preset": "stripe", "secret": SECRETS["stripe"]}
        hook = (await client.post("/api/v1/hooks", json=new, headers=headers)).json()
        assert (await client.post("/api/v1/events", json=started)).status_code == 202
        body = written(
            stripe_event("checkout.session.completed", client_reference_id=world.contact_id)
            | {"created": int(now().timestamp())}
        )
        answer = await client.post(hook["url"], content=body, headers=sign_stripe(body, at=now()))
        assert answer.status_code == 202, answer.text
        (achieved,) = await crm.read("workflow.goal.achieved", 1)
        await crm.read("workflow.exit.goal", 1)
    await intake.close()
    told = json.loads(achieved.value)
    assert told["workflow_enrollment_id"] == world.enrollment_id
    assert told["trigger_event"]["event_id"] == "evt_3Qb7"
    assert told["trigger_event"]["data"]["amount"] == "49.00"
