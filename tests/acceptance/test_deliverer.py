"""The deliverer from outside: what a worker publishes reaches an endpoint, and a deliverer starts, waits and ends as it should."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from goalstream.config import Settings
from goalstream.dev.kafka import EmbeddedKafka
from goalstream.domain.goals import TagCriteria
from goalstream.storage.pool import Database
from goalstream.streams.topics import ALL_TOPICS
from tests.acceptance.command import run
from tests.acceptance.crm import Crm, envelope, environment, eventually, running_worker
from tests.integration.builders import World
from tests.integration.endpoints import KEY, SECRET, add_endpoint
from tests.services.broker import free_ports
from tests.services.receiver import running_receiver

pytestmark = pytest.mark.timeout(120)


def with_keys(settings: Settings, **changes: Any) -> Settings:
    (port,) = free_ports(1)
    keys = {"encryption_keys": SecretStr(KEY), "webhook_private_networks": "127.0.0.0/8", "metrics_port": port}
    return settings.model_copy(update=keys | changes)


@asynccontextmanager
async def running_deliverer(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A deliverer process, and what asks its probes; SIGTERM must end it with exit code 0."""
    process = start_deliverer(settings)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.metrics_port}") as probes:
            await eventually(lambda: _answers(probes))
            yield probes
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()


def start_deliverer(settings: Settings) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "goalstream", "deliverer"], env=environment(settings))


async def _answers(probes: httpx.AsyncClient) -> bool:
    try:
        return (await probes.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


def test_without_a_key_it_does_not_start() -> None:
    found = run("deliverer")
    assert (found.returncode, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert line.startswith("goalstream: GOALSTREAM_ENCRYPTION_KEYS: is needed to sign webhooks")


async def test_while_services_are_away_it_waits_says_why_and_sigterm_ends_it() -> None:
    away = with_keys(
        Settings(database_url=SecretStr("postgresql://x@127.0.0.1:1/x")), kafka_bootstrap_servers="127.0.0.1:1"
    )
    async with running_deliverer(away) as probes:
        reasons: dict[str, str] = await eventually(lambda: _reasons(probes, "database"))
        assert reasons["deliverer"] == "starting"
        assert (await probes.get("/livez")).status_code == 200
        metrics = (await probes.get("/metrics")).text
        assert 'goalstream_retries_total{step="migrations"}' in metrics


async def test_once_it_runs_it_says_that_kafka_went_away(settings: Settings) -> None:
    with EmbeddedKafka(dict.fromkeys(ALL_TOPICS, 4)) as kafka:
        given = {"kafka_bootstrap_servers": kafka.bootstrap_servers, "kafka_topic_prefix": ""}
        async with running_deliverer(with_keys(settings, **given)) as probes:
            await eventually(lambda: _is_ready(probes))
            kafka.close()
            reasons: dict[str, str] = await eventually(lambda: _reasons(probes, "kafka"))
            assert set(reasons) == {"kafka"}


async def _is_ready(probes: httpx.AsyncClient) -> bool:
    return (await probes.get("/readyz")).status_code == 200


async def _reasons(probes: httpx.AsyncClient, wanted: str) -> dict[str, str]:
    """Why it is not ready, once that tells of a service."""
    answer = await probes.get("/readyz")
    reasons: dict[str, str] = answer.json().get("reasons", {})
    return reasons if answer.status_code == 503 and wanted in reasons else {}


async def test_what_a_worker_publishes_reaches_the_endpoint_signed(settings: Settings, database: Database) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    settings = with_keys(settings)
    tag, start = "contact.tag.added", "workflow.enrollment.started"
    enrollment = {
        "enrollment_id": world.enrollment_id,
        "workflow_id": world.workflow_id,
        "contact_id": world.contact_id,
    }
    entered_at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    async with running_receiver() as receiver, Crm(settings) as crm:
        await add_endpoint(database, f"http://127.0.0.1:{receiver.port}/", account_id=world.account_id)
        async with (
            running_worker(settings.model_copy(update={"metrics_port": 0})),
            running_deliverer(settings) as probes,
        ):
            await crm.send(start, envelope(start, world.account_id, enrollment | {"entered_at": entered_at}))
            await crm.send(tag, envelope(tag, world.account_id, {"contact_id": world.contact_id, "tag_id": "t"}))
            published = [(await crm.read(topic, 1))[0] for topic in ("workflow.goal.achieved", "workflow.exit.goal")]

            async def have_arrived() -> bool:
                return len(receiver.calls["/"]) == 2

            await eventually(have_arrived)
            assert (await probes.get("/readyz")).json() == {"status": "ready"}
            shown = (await probes.get("/metrics")).text
    assert "goalstream_webhook_deliveries_total 2.0" in shown
    assert "goalstream_records_total" not in shown
    calls = {call.headers["webhook-id"]: call for call in receiver.calls["/"]}
    for record in published:
        call = calls[dict(record.headers)["ce_id"].decode()]
        assert Webhook(SECRET).verify(call.body, call.headers)["data"] == json.loads(record.value)
