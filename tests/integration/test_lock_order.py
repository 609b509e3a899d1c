"""Whoever locks several rows locks them in the order of their keys, so that two of them wait for each other in turn.

In every test each of two has taken what the other wants last, if they do not keep to the order: both stand still at a row that
is held for so long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime

import pytest

from goalstream.domain.messages import EncodedMessage, Message
from goalstream.storage import outbox
from goalstream.storage.contacts import erase_deliveries, erase_matches, erase_recorded, read_families
from goalstream.storage.deliverers import DeliveryQueue
from goalstream.storage.delivery_log import DeliveryLog
from goalstream.storage.pool import Database
from tests.integration.builders import World
from tests.integration.endpoints import add_endpoint
from tests.integration.endpoints import message as published

WAIT_SECONDS = 10
FIRST, HELD, ALSO_HELD, LAST = (f"{number}0000000-0000-4000-8000-000000000000" for number in range(1, 5))


async def at_once(database: Database, held: str, *statements: Awaitable[object]) -> None:
    """Lets statements begin while some rows are held, until all wait; then lets them go on."""
    async with database.transaction() as holder:
        await holder.execute(f"{held} for update")
        running = [asyncio.ensure_future(statement) for statement in statements]
        async with asyncio.timeout(WAIT_SECONDS):
            while await waiting(database) < len(running):  # noqa: ASYNC110 - PostgreSQL tells nobody that it waits
                await asyncio.sleep(0.02)
    await asyncio.gather(*running)


async def waiting(database: Database) -> int:
    """How many connections wait for a lock now."""
    async with database.connection() as connection:
        return int(
            await connection.fetchval(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
            )
        )


async def erase(world: World, *contacts: str) -> None:
    async with world.database.connection() as connection:
        await erase_matches(connection, [(world.account_id, contact) for contact in contacts])


HELD_MATCHES = f"select 1 from matches where contact_id in ('{HELD}', '{ALSO_HELD}')"


async def test_two_erasures_of_the_same_matches_do_not_deadlock(world: World) -> None:
    goal = await world.add_goal()
    await world.ledger.store([world.match(goal, contact_id=contact) for contact in (FIRST, HELD, ALSO_HELD, LAST)])
    await at_once(world.database, HELD_MATCHES, erase(world, FIRST, HELD, LAST), erase(world, LAST, ALSO_HELD, FIRST))
    assert {row["data"] for row in await world.rows("select data from matches")} == {None}


async def test_an_erasure_and_a_store_of_the_same_matches_do_not_deadlock(world: World) -> None:
    goal = await world.add_goal()
    matches = [world.match(goal, contact_id=contact) for contact in (FIRST, HELD, ALSO_HELD, LAST)]
    await world.ledger.store(matches)
    again = world.ledger.store([matches[0], matches[2], matches[3]])
    await at_once(world.database, HELD_MATCHES, again, erase(world, LAST, HELD, FIRST))


HELD_MESSAGES = f"select 1 from outbox where message_id in ('{HELD}', '{ALSO_HELD}')"


async def put_into_outbox(world: World, subjects: Mapping[str, str]) -> dict[str, EncodedMessage]:
    """Messages that are about the world's contact, by their ids."""
    messages = [
        Message(
            topic="workflow.goal.achieved",
            message_id=message_id,
            account_id=world.account_id,
            subject=subject,
            time=datetime(2026, 11, 23, tzinfo=UTC),
            data={"trigger_event": {"data": {"contact_id": world.contact_id}}},
        )
        for message_id, subject in subjects.items()
    ]
    async with world.database.transaction() as connection:
        written = await outbox.insert(connection, messages, publish_after_seconds=10)
    return {message.message_id: message for message in written}


async def take_out(world: World, *messages: EncodedMessage) -> None:
    async with world.database.connection() as connection:
        await outbox.delete(connection, messages)


@pytest.mark.parametrize("places", [(0, 2, 3), (3, 2, 0)])
async def test_an_erasure_and_a_publisher_of_the_same_messages_do_not_deadlock(
    world: World, places: tuple[int, ...]
) -> None:
    """Whatever the order in which the messages were written and are taken out."""
    await world.ledger.store([world.deletion(world.contact_id)])
    subjects = {FIRST: world.contact_id, HELD: world.contact_id, ALSO_HELD: "somebody else", LAST: world.contact_id}
    order = [FIRST, HELD, ALSO_HELD, LAST]
    written = await put_into_outbox(world, {key: subjects[key] for key in (order if places[0] else reversed(order))})

    async def erase_messages() -> None:
        async with world.database.transaction() as connection:
            families = await read_families(connection, {(world.account_id, world.contact_id)})
            await erase_recorded(connection, [(world.account_id, world.enrollment_id)], families)

    taken = [written[order[place]] for place in places]
    await at_once(world.database, HELD_MESSAGES, erase_messages(), take_out(world, *taken))
    assert await world.rows(f"select 1 from outbox where message_id <> '{HELD}'") == []


async def test_two_that_take_out_the_same_messages_do_not_deadlock(world: World) -> None:
    written = await put_into_outbox(world, dict.fromkeys((FIRST, HELD, ALSO_HELD, LAST), world.contact_id))
    first, held, also_held, last = written.values()
    one, other = take_out(world, first, held, last), take_out(world, last, also_held, first)
    await at_once(world.database, HELD_MESSAGES, one, other)
    assert await world.rows("select 1 from outbox") == []


@pytest.mark.parametrize("order", [(FIRST, HELD, LAST), (LAST, HELD, FIRST)])
async def test_an_erasure_and_a_redrive_of_the_same_deliveries_do_not_deadlock(
    world: World, order: tuple[str, ...]
) -> None:
    """Whatever the order in which they were stored."""
    endpoint = await add_endpoint(world.database, "https://example.com/", account_id=world.account_id)
    body = f'{{"trigger_event": {{"data": {{"contact_id": "{world.contact_id}"}}}}}}'
    for message_id in order:
        told = published(world.account_id, contact_id=world.contact_id, message_id=message_id, body=body)
        await DeliveryQueue(world.database).store([told])
    async with world.database.transaction() as connection:
        await connection.execute("update webhook_deliveries set state = 'parked'")
    await world.ledger.store([world.deletion(world.contact_id)])

    async def erase_all() -> None:
        async with world.database.transaction() as connection:
            await erase_deliveries(connection, await read_families(connection, {(world.account_id, world.contact_id)}))

    log = DeliveryLog(world.database, account_id=world.account_id, webhook_id=endpoint.webhook_id)
    held = f"select 1 from webhook_deliveries where message_id = '{HELD}'"
    await at_once(world.database, held, erase_all(), log.redrive_parked(actor="ada"))
    assert await endpoint.states() == {"pending": 3}
    assert await world.rows("select 1 from webhook_deliveries where body like '%contact_id%'") == []
