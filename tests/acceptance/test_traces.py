"""One unbroken trace, from the CRM's record to whoever reads the achieved topic, on real parts; and nothing that hangs on it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from goalstream.config import Settings
from goalstream.domain.goals import TagCriteria
from goalstream.storage.pool import Database
from tests.acceptance.crm import Crm, envelope, eventually, running_worker, start_worker
from tests.acceptance.test_worker import enroll
from tests.integration.builders import World, new_id
from tests.services.collector import CollectedSpan, Collector, collector

pytestmark = pytest.mark.timeout(120)

TAG = "contact.tag.added"
CRM_SPAN = "00f067aa0ba902b7"
ACHIEVED = "workflow.goal.achieved"


def traceparent(number: int) -> str:
    return f"00-{number:032x}-{CRM_SPAN}-01"


async def tag(crm: Crm, world: World, number: int, **changes: Any) -> None:
    event = envelope(TAG, world.account_id, {"contact_id": world.contact_id, "tag_id": "t"}, **changes)
    await crm.send(TAG, event, headers=[("traceparent", traceparent(number).encode())], partition=0)


def by_name(spans: Sequence[CollectedSpan], name: str) -> CollectedSpan:
    (found,) = [span for span in spans if span.name == name]
    return found


async def test_a_trace_leads_unbroken_from_the_record_through_sql_to_the_consumer(
    settings: Settings, database: Database
) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    with collector() as collected:
        traced = settings.model_copy(update={"otlp_endpoint": collected.endpoint})
        async with Crm(traced) as crm, running_worker(traced):
            await enroll(crm, world)
            await eventually(crm.committed_everything)
            await tag(crm, world, 7)
            (achieved,) = await crm.read(ACHIEVED, 1)
            (exited,) = await crm.read("workflow.exit.goal", 1)
            await eventually(crm.committed_everything)
    spans = collected.trace(f"{7:032x}")
    prefix = settings.kafka_topic_prefix
    process = by_name(spans, f"process {prefix}{TAG}")
    assert process.parent_id == CRM_SPAN
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span is not process)
    for record, topic in ((achieved, ACHIEVED), (exited, "workflow.exit.goal")):
        send = by_name(spans, f"send {prefix}{topic}")
        assert send.parent_id == process.span_id
        assert dict(record.headers)["traceparent"].decode() == f"00-{7:032x}-{send.span_id}-01"
    settlement = by_name(spans, "settlement")
    assert settlement.parent_id == by_name(spans, "match").parent_id == process.span_id
    steps = {by_name(spans, "store").span_id, by_name(spans, "settle").span_id}
    statements = [span for span in spans if span.attributes.get("db.system.name") == "postgresql"]
    assert {span.parent_id for span in statements} == steps
    names = " ".join(span.name for span in statements)
    assert all(
        write in names for write in ("INSERT matches", "INSERT achievements", "UPDATE enrollments", "INSERT outbox")
    )
    assert world.contact_id not in repr(spans)
    assert {span.service for span in spans} == {"goalstream"}


async def test_a_message_that_a_sweeper_sends_belongs_to_the_same_trace(settings: Settings, database: Database) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    with collector() as collected:
        traced = settings.model_copy(update={"otlp_endpoint": collected.endpoint})
        async with Crm(traced) as crm:
            async with running_worker(traced):
                await enroll(crm, world)
                await tag(crm, world, 7)
                await crm.read(ACHIEVED, 1)
                await eventually(crm.committed_everything)
            async with database.transaction() as connection:
                await connection.execute(
                    "insert into outbox (account_id, message_id, topic, subject, time, body, traceparent, created_at,"
                    " publish_after) select account_id, $1, 'workflow.goal.achieved', contact_id, achieved_at, '{}',"
                    " (select traceparent from matches), now(), now() from achievements",
                    new_id(),
                )
            async with running_worker(traced):
                (_, swept) = await crm.read(ACHIEVED, 2)
    spans = collected.trace(f"{7:032x}")
    process = by_name(spans, f"process {settings.kafka_topic_prefix}{TAG}")
    *_, send = [span for span in spans if span.name.endswith(ACHIEVED)]
    assert send.parent_id == process.span_id
    assert dict(swept.headers)["traceparent"].decode() == f"00-{7:032x}-{send.span_id}-01"


async def test_records_of_one_settlement_are_linked_and_all_have_their_sends(
    settings: Settings, database: Database
) -> None:
    worlds = [World(database) for _ in range(20)]
    for world in worlds:
        await world.add_goal(TagCriteria(tag_id="t"))
    with collector() as collected:
        traced = settings.model_copy(update={"otlp_endpoint": collected.endpoint})
        async with Crm(traced) as crm:
            async with running_worker(traced):
                for world in worlds:
                    await enroll(crm, world)
                await eventually(crm.committed_everything)
            for number, world in enumerate(worlds, start=1):
                await tag(crm, world, number)
            async with running_worker(traced):
                await crm.read(ACHIEVED, len(worlds))
                await eventually(crm.committed_everything)
    for number, _ in enumerate(worlds, start=1):
        by_name(collected.trace(f"{number:032x}"), f"send {settings.kafka_topic_prefix}{ACHIEVED}")
    settlements = {span.span_id: span for span in collected.spans if span.name == "settlement"}
    pairs = {(span.span_id, other) for span in settlements.values() for other in span.linked if other in settlements}
    assert len(settlements) == len(worlds)
    assert pairs
    for follower, first in pairs:
        parent = settlements[follower].parent_id
        assert parent in settlements[first].linked


async def test_a_collector_that_never_answers_holds_up_nothing(settings: Settings, database: Database) -> None:
    world = World(database)
    await world.add_goal(TagCriteria(tag_id="t"))
    with collector() as stuck:
        stuck.answers.clear()
        traced = settings.model_copy(update={"otlp_endpoint": stuck.endpoint})
        async with Crm(traced) as crm:
            process = start_worker(traced)
            with process:
                await enroll(crm, world)
                await tag(crm, world, 7)
                await crm.read(ACHIEVED, 1)
                await _is_asked(stuck)
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 30) == 0


async def _is_asked(stuck: Collector) -> None:
    assert await asyncio.to_thread(stuck.asked.wait, 30)
