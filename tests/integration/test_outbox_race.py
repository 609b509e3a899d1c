"""A message that the sweepers publish late, beside what its worker has published since: the revision tells what holds."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from goalstream.errors import BrokerUnavailable
from goalstream.storage.outbox import Outbox
from goalstream.storage.pool import Database
from goalstream.streams.publisher import Publisher
from tests.integration.builders import World
from tests.unit.streams.fakes import FakeProducer


async def test_a_consumer_that_keeps_the_greatest_revision_drops_what_a_sweeper_publishes_late(
    database: Database,
) -> None:
    world, producer = World(database), FakeProducer()
    goal = await world.add_goal()
    await _publish_all(database, producer)
    producer.sent.clear()
    publisher = Publisher(producer, Outbox(database), topic_prefix="")
    live = asyncio.create_task(publisher.publish_waiting())

    producer.failures = [BrokerUnavailable("away")]
    await publisher.hand_over((await world.tell(world.start(), world.match(goal))).messages)
    await publisher.drain()
    ended = await world.tell(world.end(ended_at=world.now - timedelta(hours=3)))
    await publisher.hand_over(ended.messages)
    await publisher.drain()
    await _publish_all(database, producer)
    live.cancel()
    await asyncio.gather(live, return_exceptions=True)

    told = [(topic, json.loads(value or b"").get("revision")) for topic, _, value, _ in producer.sent]
    assert told[0] == ("workflow.goal.revoked", 2)
    assert sorted(told[1:], key=str) == [("workflow.exit.goal", None), ("workflow.goal.achieved", 1)]
    held: dict[str, tuple[int, str]] = {}
    for topic, _, value, _ in producer.sent:
        document = json.loads(value or b"")
        if "revision" in document:
            known = held.get(document["achievement_id"], (0, ""))
            held[document["achievement_id"]] = max(known, (document["revision"], topic))
    assert [topic for _, topic in held.values()] == ["workflow.goal.revoked"]
    assert await world.rows("select from outbox") == []


async def _publish_all(database: Database, producer: FakeProducer) -> None:
    """What a sweeper does once everything is due."""
    async with database.transaction() as connection:
        await connection.execute("update outbox set publish_after = clock_timestamp()")
    await Publisher(producer, Outbox(database), topic_prefix="").sweep()
