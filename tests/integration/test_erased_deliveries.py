"""Deleted contacts and webhooks: whenever the deletion is told, no delivery keeps their personal data."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from goalstream.storage import deliverers
from goalstream.storage.contacts import erase_deliveries, read_families
from goalstream.storage.deliverers import Attempt, DeliveryQueue, DueDelivery, Lease, PublishedMessage
from goalstream.storage.facts import store_facts
from goalstream.storage.pool import Database
from goalstream.webhooks.dispatcher import PORTION_BYTES
from tests.integration.builders import World, new_id
from tests.integration.endpoints import Endpoint, add_endpoint, message

SECRET = "ada@example.org"


@pytest.fixture
async def world(database: Database) -> World:
    """Whose contact has achieved a goal."""
    found = World(database)
    await found.tell(found.start(), found.match(await found.add_goal()))
    return found


@pytest.fixture
async def endpoint(world: World) -> Endpoint:
    return await add_endpoint(world.database, "https://example.com/", account_id=world.account_id)


def about(world: World, contact_id: str | None = None) -> PublishedMessage:
    """A message as it was published before anything was erased."""
    contact_id = contact_id or world.contact_id
    trigger_event = {"data": {"contact_id": contact_id.upper(), "email": SECRET}}
    body = json.dumps({"contact_id": contact_id, "amount": 12.5, "trigger_event": trigger_event})
    return message(world.account_id, contact_id=contact_id, body=body)


async def data_of(endpoint: Endpoint, one: PublishedMessage) -> Any:
    """What the delivery of a message tells of its contact; the rest must be there whatever was erased."""
    document = json.loads((await endpoint.deliveries())[one.message.message_id]["body"])
    assert document["amount"] == 12.5
    return document["trigger_event"]["data"]


async def test_a_deletion_erases_what_is_stored_already_and_nothing_of_others(world: World, endpoint: Endpoint) -> None:
    theirs, others, queue = about(world), about(world, new_id()), DeliveryQueue(world.database)
    await queue.store([theirs, others])
    await world.tell(world.deletion(world.contact_id))
    assert await data_of(endpoint, theirs) is None
    assert (await data_of(endpoint, others))["email"] == SECRET


async def test_what_is_published_after_a_deletion_or_read_again_is_erased(world: World, endpoint: Endpoint) -> None:
    theirs, queue = about(world), DeliveryQueue(world.database)
    await world.tell(world.deletion(world.contact_id))
    assert await queue.store([theirs]) == 1
    assert await data_of(endpoint, theirs) is None


async def test_the_deletion_of_an_id_that_was_merged_away_erases_what_the_survivor_was_told_of(
    world: World, endpoint: Endpoint
) -> None:
    old, queue = new_id(), DeliveryQueue(world.database)
    data = {"contact_id": old, "email": SECRET}
    body = json.dumps({"contact_id": world.contact_id, "amount": 12.5, "trigger_event": {"data": data}})
    theirs = message(world.account_id, contact_id=world.contact_id, body=body)
    await world.tell(world.merge(old, world.contact_id), world.deletion(old))
    await queue.store([theirs])
    assert await data_of(endpoint, theirs) is None


async def test_a_deliverer_that_is_killed_before_it_has_looked_leaves_nothing_behind(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, queue = about(world), DeliveryQueue(world.database)
    await world.tell(world.deletion(world.contact_id))

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(deliverers, "read_families", killed)
        with pytest.raises(asyncio.CancelledError):
            await queue.store([theirs])
    assert (await data_of(endpoint, theirs))["email"] == SECRET
    assert await queue.store([theirs]) == 0  # Kafka tells it again
    assert await data_of(endpoint, theirs) is None


async def test_a_deletion_that_is_settled_before_the_delivery_commits_is_seen_by_the_deliverer(
    world: World, endpoint: Endpoint
) -> None:
    theirs, queue = about(world), DeliveryQueue(world.database)
    async with world.database.transaction() as holder:
        await holder.execute("select 1 from webhooks where webhook_id = $1 for update", endpoint.webhook_id)
        storing = asyncio.create_task(queue.store([theirs]))
        await _waits_for_a_lock(world.database)
        await world.tell(world.deletion(world.contact_id))
        assert await endpoint.deliveries() == {}
    assert await storing == 1
    assert await data_of(endpoint, theirs) is None


async def test_a_delivery_that_commits_before_the_deletion_is_seen_by_who_settles_that(
    world: World, endpoint: Endpoint
) -> None:
    theirs, queue, deletion = about(world), DeliveryQueue(world.database), world.deletion(world.contact_id)
    async with world.database.transaction() as connection:
        await store_facts(connection, [deletion])
        assert await queue.store([theirs]) == 1
        assert (await data_of(endpoint, theirs))["email"] == SECRET
    await world.ledger.settle([deletion])
    assert await data_of(endpoint, theirs) is None


async def note(queue: DeliveryQueue, lease: Lease, delivery: DueDelivery) -> None:
    """The endpoint has answered with what it was sent."""
    attempt = Attempt(
        url=lease.url, headers={}, duration_seconds=0.1, status=500, error="answers 500", answer=delivery.body
    )
    await queue.note(lease, delivery, attempt, delay_seconds=0)


async def answers(endpoint: Endpoint, one: PublishedMessage) -> list[str | None]:
    return [attempt["answer"] for attempt in await endpoint.attempts(one.message.message_id)]


async def test_what_endpoints_answered_is_erased_as_well_even_while_one_is_answering(
    world: World, endpoint: Endpoint
) -> None:
    theirs, others, queue = about(world), about(world, new_id()), DeliveryQueue(world.database)
    await queue.store([theirs, others])
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    for delivery in await queue.due(lease, 10, most_bytes=PORTION_BYTES):
        await note(queue, lease, delivery)
    sent = {one.message_id: one for one in await queue.due(lease, 10, most_bytes=PORTION_BYTES)}
    await world.tell(world.deletion(world.contact_id))
    assert await answers(endpoint, theirs) == [None]
    await note(queue, lease, sent[theirs.message.message_id])
    assert await answers(endpoint, theirs) == [None, None]
    assert await answers(endpoint, others) == [sent[others.message.message_id].body]


async def test_an_answer_that_is_noted_while_an_erasure_commits_is_erased(world: World, endpoint: Endpoint) -> None:
    theirs, queue, contact = about(world), DeliveryQueue(world.database), (world.account_id, world.contact_id)
    await queue.store([theirs])
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    (delivery,) = await queue.due(lease, 10, most_bytes=PORTION_BYTES)
    await world.ledger.store([world.deletion(world.contact_id)])
    async with world.database.transaction() as connection:
        await erase_deliveries(connection, await read_families(connection, {contact}))
        noting = asyncio.create_task(note(queue, lease, delivery))
        await _waits_for_a_lock(world.database)
    await noting
    assert await answers(endpoint, theirs) == [None]


async def _waits_for_a_lock(database: Database) -> None:
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(10), database.connection() as connection:
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - PostgreSQL tells nobody that it waits
            await asyncio.sleep(0.02)
