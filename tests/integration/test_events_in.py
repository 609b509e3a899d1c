"""Events over HTTP, on a real Kafka: what is accepted is on its topic, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from goalstream.api.app import create_app
from goalstream.config import Settings
from goalstream.domain.goals import TagCriteria
from goalstream.errors import BrokerUnavailable
from goalstream.intake import Intake, intake_of
from goalstream.storage.pool import Database
from tests.acceptance.crm import Crm, running_worker
from tests.integration.builders import World, new_id
from tests.integration.serving import ACCOUNT, bearer
from tests.unit.streams.fakes import FakeProducer

EVENTS = "/api/v1/events"


def tag(contact_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_type": "contact.tag.added",
        "event_id": new_id(),
        "data": {"contact_id": contact_id, "tag_id": "t"},
    } | changes


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def app(settings: Settings, api_database: Database, producer: FakeProducer) -> FastAPI:
    return create_app(settings, api_database, intake=Intake(producer, topic_prefix=""))


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=bearer()) as found:
        yield found
    await app.state.gate.close()


async def test_a_shop_without_kafka_has_a_contact_let_out(
    settings: Settings, database: Database, api_database: Database
) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    intake = intake_of(settings)
    app = create_app(settings, api_database, intake=intake)
    transport = httpx.ASGITransport(app)
    ids = {"enrollment_id": world.enrollment_id, "workflow_id": world.workflow_id, "contact_id": world.contact_id}
    start = {"event_type": "workflow.enrollment.started", "data": ids | {"entered_at": "2026-01-01T00:00:00Z"}}
    cloudevent = {
        "specversion": "1.0",
        "id": "order-17",
        "type": "contact.tag.added",
        "data": tag(world.contact_id)["data"],
    }
    many = [tag(new_id()) for _ in range(497)]
    async with Crm(settings) as crm, running_worker(settings):
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers=bearer(world.account_id)
        ) as client:
            answer = await client.post(EVENTS, json=[start, cloudevent, tag("7"), *many])
        await intake.close()
        (achieved,) = await crm.read("workflow.goal.achieved", 1)
        sent = await crm.read("contact.tag.added", 498)
    document = answer.json()
    assert answer.status_code == 202
    assert (document["accepted"], document["refused"]) == (499, 1)
    assert [one["status"] for one in document["events"][:3]] == ["accepted", "accepted", "refused"]
    assert document["events"][2]["errors"][0]["pointer"] == "/data/contact_id"
    assert json.loads(achieved.value)["trigger_event"]["event_id"] == "order-17"
    assert {json.loads(record.value).get("account_id") for record in sent} == {world.account_id, None}
    await app.state.gate.close()


async def test_without_one_that_is_accepted_the_request_is_refused(
    client: httpx.AsyncClient, producer: FakeProducer
) -> None:
    one = await client.post(EVENTS, json=tag("7"))
    assert (one.status_code, one.json()["errors"][0]["pointer"]) == (422, "/data/contact_id")
    two = await client.post(EVENTS, json=[tag("7"), {}])
    assert [problem["pointer"] for problem in two.json()["errors"]] == ["/0/data/contact_id", "/1/event_type"]
    assert producer.sent == []


@pytest.mark.parametrize(
    "body", [b"[]", b"[1", b"[" + b"{}," * 500 + b"{}]", b"[" * 5_000, b"\xff", b"", b'{"a": NaN}']
)
async def test_what_is_no_body_of_events_is_refused(
    client: httpx.AsyncClient, producer: FakeProducer, body: bytes
) -> None:
    answer = await client.post(EVENTS, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (422, "validation_error")
    assert producer.sent == []


async def test_a_body_says_what_it_is_and_has_its_own_bound(client: httpx.AsyncClient) -> None:
    text = await client.post(EVENTS, content=b"{}", headers={"content-type": "text/plain"})
    assert text.status_code == 415
    for content_type in ("application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8"):
        answer = await client.post(
            EVENTS, content=json.dumps(tag(new_id())).encode(), headers={"content-type": content_type}
        )
        assert answer.status_code == 202
    large = tag(new_id(), note="x" * 70_000)
    assert (await client.post(EVENTS, json=large)).status_code == 202
    assert (await client.post(EVENTS, json=[large] * 20)).status_code == 413


async def test_while_kafka_is_away_nothing_is_accepted(client: httpx.AsyncClient, producer: FakeProducer) -> None:
    producer.failures = [BrokerUnavailable("away")]
    headers = {"idempotency-key": new_id()}
    event = tag(new_id())
    away = await client.post(EVENTS, json=event, headers=headers)
    assert (away.status_code, away.json()["error"]) == (503, "unavailable")
    assert away.headers["retry-after"] == "2"
    there = await client.post(EVENTS, json=event, headers=headers)
    again = await client.post(EVENTS, json=event, headers=headers)
    assert (there.status_code, again.status_code, again.headers["idempotency-replayed"]) == (202, 202, "true")
    assert there.content == again.content
    assert len(producer.sent) == 1


async def test_an_api_that_was_given_no_intake_says_so(client: httpx.AsyncClient, app: FastAPI) -> None:
    app.state.intake = None
    headers = {"idempotency-key": new_id()}
    for _ in range(2):
        answer = await client.post(EVENTS, json=tag(new_id()), headers=headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
        assert "Kafka" in answer.json()["message"]


async def test_a_broker_that_is_away_is_said_in_seconds(settings: Settings, api_database: Database) -> None:
    away = settings.model_copy(update={"kafka_bootstrap_servers": "127.0.0.1:1"})
    intake = intake_of(away)
    app = create_app(away, api_database, intake=intake)
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", headers=bearer()) as client,
        asyncio.timeout(20),
    ):
        answer = await client.post(EVENTS, json=tag(new_id()))
        assert (await client.get("/readyz")).status_code == 200
    assert answer.status_code == 503
    await intake.close()
    await app.state.gate.close()


async def test_who_may_only_read_may_not_send(client: httpx.AsyncClient, producer: FakeProducer) -> None:
    answer = await client.post(EVENTS, json=tag(new_id(), account_id=new_id()))
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/account_id")
    answer = await client.post(EVENTS, json=tag(new_id(), account_id=ACCOUNT))
    assert answer.status_code == 202
    answer = await client.post(EVENTS, json=tag(new_id()), headers={"authorization": ""})
    assert answer.status_code == 401
    assert len(producer.sent) == 1
