"""The worker from outside: records in, messages out, on a real broker and a real database."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest

from goalstream.config import Settings
from goalstream.dev.kafka import EmbeddedKafka
from goalstream.domain.goals import AppointmentCriteria, FormCriteria, PurchaseCriteria, StageCriteria, TagCriteria
from goalstream.errors import ReferenceNotFound
from goalstream.storage.pool import Database
from goalstream.streams.topics import ALL_TOPICS
from tests.acceptance.crm import Crm, envelope, eventually, running_worker, start_worker
from tests.integration.builders import World, new_id

pytestmark = pytest.mark.timeout(120)

EVENTS: list[tuple[Any, str, dict[str, Any]]] = [
    (TagCriteria(tag_name="Purchased"), "contact.tag.added", {"tag_id": "tag-7", "tag_name": " purchased"}),
    (
        PurchaseCriteria(currency="EUR"),
        "payment.completed",
        {"amount": "150.00", "currency": "eur", "product_ids": ["p"]},
    ),
    (AppointmentCriteria(any_appointment=True), "appointment.booked", {"calendar_id": "cal-456"}),
    (FormCriteria(form_id="form-123"), "form.submitted", {"form_id": "form-123"}),
    (StageCriteria(pipeline_id="p", stage_id="won"), "pipeline.stage.changed", {"pipeline_id": "p", "stage_id": "won"}),
]


async def enroll(crm: Crm, world: World, **data: Any) -> None:
    fields = {
        "enrollment_id": world.enrollment_id,
        "workflow_id": world.workflow_id,
        "contact_id": world.contact_id,
        "entered_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }
    topic = "workflow.enrollment.started"
    await crm.send(topic, envelope(topic, world.account_id, fields | data))


async def test_each_of_the_five_event_types_achieves_its_goal(settings: Settings, database: Database) -> None:
    worlds = []
    for criteria, _, _ in EVENTS:
        world = World(database)
        await world.add_goal(criteria)
        worlds.append(world)
    async with Crm(settings) as crm, running_worker(settings):
        for world, (_, topic, data) in zip(worlds, EVENTS, strict=True):
            await enroll(crm, world)
            await crm.send(topic, envelope(topic, world.account_id, {"contact_id": world.contact_id, **data}))
        achieved = await crm.read("workflow.goal.achieved", 5)
        exits = await crm.read("workflow.exit.goal", 5)
        await eventually(crm.committed_everything)
        await eventually(lambda: _is_empty(database, "outbox"))
    documents = [json.loads(record.value) for record in achieved]
    assert {document["goal_type"] for document in documents} == {world.goals[0].goal_type.value for world in worlds}
    for record, document in zip(achieved, documents, strict=True):
        headers = {name: value.decode() for name, value in record.headers}
        achievement = f"goalstream:achievement:{document['account_id']}:{document['workflow_enrollment_id']}:{document['goal_config_id']}"
        achievement_id = str(uuid5(NAMESPACE_URL, achievement))
        assert document["achievement_id"] == achievement_id
        assert headers["ce_id"] == str(uuid5(NAMESPACE_URL, f"goalstream:workflow.goal.achieved:{achievement_id}:1"))
        assert record.key.decode() == headers["ce_subject"] == document["contact_id"]
        assert headers["ce_time"] == document["achieved_at"]
        assert headers["ce_accountid"] == document["account_id"]
    assert {json.loads(record.value)["exit_reason"] for record in exits} == {"goal_achieved"}


async def test_a_goal_that_is_created_is_announced_within_seconds(settings: Settings, database: Database) -> None:
    goal = await World(database).add_goal()
    async with Crm(settings) as crm, running_worker(settings):
        (record,) = await crm.read("workflow.goal.configured", 1)
    assert record.key.decode() == goal.goal_id
    assert json.loads(record.value)["criteria"] == {"tag_name": "tag-0"}


async def test_what_the_crm_does_not_have_is_refused_as_soon_as_it_has_told_what_it_has(
    settings: Settings, database: Database
) -> None:
    world, topic = World(database), "crm.reference.changed"
    await world.add_goal(FormCriteria(form_id="form-1"))
    async with Crm(settings) as crm, running_worker(settings):
        for data in ({"kind": "form", "id": "form-2"}, {"kind": "form", "id": "form-3", "deleted": True}):
            await crm.send(topic, envelope(topic, world.account_id, data))
        await eventually(crm.committed_everything)
    await world.add_goal(FormCriteria(form_id="form-2"))
    with pytest.raises(ReferenceNotFound, match="Referenced form does not exist"):
        await world.add_goal(FormCriteria(form_id="form-3"))


def _bad_records(account: str, contact: str) -> list[tuple[str, str, object, list[tuple[str, bytes]]]]:
    tag, payment = "contact.tag.added", "payment.completed"
    good = {"contact_id": contact}
    cloudevent = [("ce_specversion", b"9"), ("ce_id", b"1"), ("ce_type", tag.encode())]
    return [
        ("not_json", tag, b"{nonsense", []),
        ("not_json", tag, b"[]", []),
        ("forbidden_character", tag, envelope(tag, account, {**good, "tag_name": "\x00"}), []),
        ("bad_cloudevent", tag, good, cloudevent),
        ("type_contradicts_topic", tag, envelope(payment, account, good), []),
        ("no_account", tag, envelope(tag, account, good) | {"account_id": None}, []),
        ("no_contact", tag, envelope(tag, account, {}), []),
        ("bad_time", tag, envelope(tag, account, good, timestamp="noon"), []),
        ("wrong_type", payment, envelope(payment, account, {**good, "amount": "much"}), []),
        ("wrong_type", "workflow.status.changed", envelope("workflow.status.changed", account, {}), []),
        ("wrong_type", "crm.reference.changed", envelope("crm.reference.changed", account, {"kind": "page"}), []),
    ]


async def test_every_kind_of_bad_record_is_set_aside_and_the_partition_goes_on(
    settings: Settings, database: Database
) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    bad = _bad_records(world.account_id, world.contact_id)
    refused, marker = (
        envelope("contact.tag.added", world.account_id, {"contact_id": world.contact_id, "tag_id": "t"}),
        "refuse me",
    )
    async with database.transaction() as connection:
        await connection.execute(f"""alter table matches add constraint planted check (event_id <> '{marker}')""")
    async with Crm(settings) as crm, running_worker(settings):
        await enroll(crm, world)
        for _, topic, value, headers in bad:
            await crm.send(topic, value, headers=headers, partition=0, key=b"its key")
        await crm.send_nothing("contact.tag.added")
        await crm.send("contact.tag.added", refused | {"event_id": marker}, partition=0)
        await crm.send("contact.tag.added", refused, partition=0)
        letters = await crm.read("goalstream.dead-letter", len(bad) + 2)
        await crm.read("workflow.goal.achieved", 1)
        await eventually(crm.committed_everything)
    reasons = sorted(dict(letter.headers)["goalstream_reason"].decode() for letter in letters)
    assert reasons == sorted([reason for reason, *_ in bad] + ["not_json", "refused_by_database"])
    for letter in letters:
        origin = dict(letter.headers)
        assert origin["goalstream_topic"].decode().startswith(settings.kafka_topic_prefix)
        assert {"goalstream_partition", "goalstream_offset", "goalstream_timestamp", "goalstream_error"} < set(origin)


async def test_a_killed_worker_loses_nothing_and_repeats_no_row(settings: Settings, database: Database) -> None:
    world = World(database)
    goal = await world.add_goal(TagCriteria(tag_id="t"))
    people = [(new_id(), new_id()) for _ in range(300)]
    async with Crm(settings) as crm:
        process = start_worker(settings)
        for number, (enrollment_id, contact_id) in enumerate(people):
            await enroll(crm, world, enrollment_id=enrollment_id, contact_id=contact_id)
            event = envelope("contact.tag.added", world.account_id, {"contact_id": contact_id, "tag_id": "t"})
            await crm.send("contact.tag.added", event, key=contact_id.encode())
            if number in (100, 200):
                await eventually(lambda: _some_rows(database))
                process.send_signal(signal.SIGKILL)
                await asyncio.to_thread(process.wait)
                process = start_worker(settings)
        try:
            await eventually(crm.committed_everything, seconds=60)
            await eventually(lambda: _is_empty(database, "outbox"), seconds=60)
            achieved = await crm.read("workflow.goal.achieved", len(people))
        finally:
            process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
    rows = await world.rows("select enrollment_id::text from achievements where revoked_at is null")
    assert sorted(row["enrollment_id"] for row in rows) == sorted(enrollment for enrollment, _ in people)
    bodies = {dict(record.headers)["ce_id"]: record.value for record in achieved}
    assert len(bodies) == len(people)
    assert all(bodies[dict(record.headers)["ce_id"]] == record.value for record in achieved)
    assert {json.loads(body)["goal_config_id"] for body in bodies.values()} == {goal.goal_id}


async def test_too_many_dead_letters_stop_the_worker_with_exit_code_1(settings: Settings) -> None:
    strict = settings.model_copy(update={"dead_letter_max_in_a_row": 3})
    async with Crm(strict) as crm, running_worker(strict) as process:
        for _ in range(5):
            await crm.send("form.submitted", b"nonsense", partition=0)
        assert await asyncio.to_thread(process.wait, 30) == 1
        assert not await crm.committed_everything()


async def test_sigterm_ends_a_worker_with_exit_code_0_even_while_it_waits(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": settings.database_url.__class__("postgresql://x@127.0.0.1:1/x")})
    process = start_worker(away, stderr=subprocess.PIPE)
    assert process.stderr is not None
    with process:
        assert b"waiting_for_service" in await asyncio.to_thread(process.stderr.readline)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 15) == 0


async def test_sigterm_ends_a_worker_whose_kafka_went_away_without_a_traceback(settings: Settings) -> None:
    with EmbeddedKafka(dict.fromkeys(ALL_TOPICS, 4)) as kafka:
        given = {"kafka_bootstrap_servers": kafka.bootstrap_servers, "kafka_topic_prefix": ""}
        process = start_worker(settings.model_copy(update=given), stderr=subprocess.PIPE)
        assert process.stderr is not None
        with process:
            while b"worker_started" not in (line := await asyncio.to_thread(process.stderr.readline)):
                assert line, "it ended"
            kafka.close()
            while b"waiting_for_service" not in (line := await asyncio.to_thread(process.stderr.readline)):
                assert line, "it ended"
            await asyncio.sleep(1)  # fetches fail, and wait to be tried again
            process.send_signal(signal.SIGTERM)
            _, told = await asyncio.to_thread(process.communicate, timeout=30)
    assert process.returncode == 0
    assert b"Traceback" not in told
    assert b"stopped_in_haste" not in told


async def _is_empty(database: Database, table: str) -> bool:
    async with database.transaction() as connection:
        return not await connection.fetchval(f"select count(*) from {table}")


async def _some_rows(database: Database) -> bool:
    return not await _is_empty(database, "achievements")
