"""Cleaning on a real PostgreSQL: a decision never depends on when it ran, and rates of younger cohorts stay as they are."""

from __future__ import annotations

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from goalstream.domain.facts import Fact
from goalstream.storage.cleaning import Cleaner
from goalstream.storage.cohorts import Cohort
from goalstream.storage.deliverers import KEPT_FOR, Attempt, DeliveryQueue
from goalstream.storage.pool import Database
from goalstream.storage.stats import statistics
from goalstream.webhooks.dispatcher import PORTION_BYTES
from tests.integration.builders import LATENESS, World, new_id
from tests.integration.endpoints import add_endpoint, message


async def test_one_at_a_time_cleans(database: Database) -> None:
    cleaner = Cleaner(database)
    async with cleaner.turn() as mine, cleaner.turn() as theirs:
        assert isinstance(mine, datetime)
        assert theirs is None
    async with cleaner.turn() as again:
        assert again is not None


async def test_a_turn_ends_with_its_block_even_when_that_fails(database: Database) -> None:
    cleaner = Cleaner(database)
    with pytest.raises(ZeroDivisionError):
        async with cleaner.turn():
            raise ZeroDivisionError
    async with cleaner.turn() as again:
        assert again is not None


async def test_an_achievement_stands_for_its_match_when_that_is_gone(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    before = await world.state()
    assert await Cleaner(world.database).delete_matches(world.now + timedelta(seconds=1)) == 1
    assert (await world.tell(world.start())).changes == []
    later = world.match(goal, event_id="event-2", occurred_at=world.now - timedelta(minutes=1))
    assert (await world.tell(later)).changes == []
    assert await world.state() == before


@pytest.mark.parametrize("seed", range(12))
async def test_a_decision_never_depends_on_when_matches_were_deleted(world: World, seed: int) -> None:
    """Facts arrive by their records' time, up to L late; the job runs at random moments; then everything is replayed."""
    chance = random.Random(seed)
    goals = [await world.add_goal(), await world.add_goal()]
    began = world.now - timedelta(days=9)

    def recorded(hours: float) -> dict[str, Any]:
        occurred_at = began + timedelta(hours=hours)
        return {"occurred_at": occurred_at, "record_at": occurred_at + LATENESS * chance.choice([0, 0, 0.5, 1, 1.01])}

    def told(hours: float, name: str) -> dict[str, Any]:
        times = recorded(hours)
        return {name: times["occurred_at"], "record_at": times["record_at"]}

    facts: list[Fact] = [
        world.start(**told(0, "entered_at")),
        world.start(event_id="start-0", trigger_event_id="event-3", **told(10, "entered_at")),
        world.status("active", "all", **recorded(1)),
        world.status("inactive", event_id="status-2", **recorded(40)),
        world.status("active", event_id="status-3", **recorded(50)),
        world.end(**told(100, "ended_at")),
        world.merge("0c000000-0000-4000-8000-000000000001", world.contact_id, **recorded(30)),
        *(
            world.match(chance.choice(goals), event_id=f"event-{n}", **recorded(chance.randrange(-5, 110)))
            for n in range(10)
        ),
        world.match(goals[0], contact_id="0c000000-0000-4000-8000-000000000001", event_id="old", **recorded(20)),
    ]
    facts.sort(key=lambda fact: fact.record_at)
    await world.tell(*facts)
    expected = await world.state()
    await world.forget()
    cleaner = Cleaner(world.database)
    for fact in facts:
        await world.tell(fact)
        if chance.random() < 0.5:
            await cleaner.delete_matches(fact.record_at - 2 * LATENESS)
    assert await world.state() == expected
    await cleaner.delete_matches(world.now - 2 * LATENESS + timedelta(hours=chance.randrange(0, 48)))
    for fact in chance.sample(facts, len(facts)):
        if fact.record_at >= world.now - 2 * LATENESS or not hasattr(fact, "goal_id"):
            await world.tell(fact)
    assert await world.state() == expected


async def test_enrollments_that_ended_long_ago_go_with_all_that_hangs_on_them_and_rates_of_others_stay(
    world: World,
) -> None:
    goal = await world.add_goal()
    long_ago = world.now - timedelta(days=800)
    for number in range(7):
        old = number < 4
        since = long_ago if old else world.now - timedelta(days=2)
        enrollment, contact = new_id(), new_id()
        told: list[Fact] = [world.start(enrollment_id=enrollment, contact_id=contact, entered_at=since)]
        if not old and number % 2:
            told.append(world.match(goal, contact_id=contact))
        if number not in (0, 6):
            ended_at = since + timedelta(days=30) if old else world.now
            told.append(world.end(enrollment_id=enrollment, ended_at=ended_at))
        await world.tell(*told)
    cohort = Cohort(workflow_id=world.workflow_id, start=world.now - timedelta(days=10))
    before = await statistics(world.database, world.account_id, cohort, granularity=None, tz="UTC")
    assert await Cleaner(world.database).remove_enrollments(world.now - timedelta(days=730)) == 3
    after = await statistics(world.database, world.account_id, cohort, granularity=None, tz="UTC")
    for document in (before, after):
        document.pop("computed_at"), document.pop("as_of")
    assert after == before
    kept = {row["enrollment_id"] for row in await world.rows("select enrollment_id from enrollments")}
    assert len(kept) == 4
    for table in ("enrollment_starts", "enrollment_ends", "achievements"):
        assert {row["enrollment_id"] for row in await world.rows(f"select enrollment_id from {table}")} <= kept


async def test_an_enrollment_that_is_being_settled_is_left_for_the_next_time(world: World) -> None:
    await world.tell(world.start(), world.end())
    cleaner, later = Cleaner(world.database), world.now + timedelta(days=1)
    async with world.database.transaction() as connection:
        await connection.execute("select from enrollments for update")
        assert await asyncio.wait_for(cleaner.remove_enrollments(later), 10) == 0
    assert await cleaner.remove_enrollments(later) == 1


async def test_old_audit_entries_go(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    async with world.database.transaction() as connection:
        await connection.execute("update audit set at = at - interval '800 days' where action = 'achieved'")
    assert await Cleaner(world.database).delete_audit(world.now - timedelta(days=730)) == 1
    assert [row["action"] for row in await world.rows("select action from audit")] == ["goal_created"]


async def test_deliveries_and_their_attempts_go_after_30_days_whatever_became_of_them(database: Database) -> None:
    endpoint = await add_endpoint(database, "https://example.com/")
    queue, told = DeliveryQueue(database), [message(endpoint.account_id) for _ in range(4)]
    await queue.store(told)
    lease = await queue.lease(new_id(), seconds=30, without=())
    assert lease is not None
    ids = [one.message.message_id for one in told]
    for delivery in await queue.due(lease, 4, most_bytes=PORTION_BYTES):
        attempt = Attempt(url=lease.url, headers={}, duration_seconds=0.1, status=500, error="answers 500", answer="")
        await queue.note(lease, delivery, attempt, delay_seconds=5)
    states = ["pending", "delivered", "parked", "pending"]
    async with database.transaction() as connection:
        await connection.executemany(
            "update webhook_deliveries set state = $2, created_at = created_at - $3::interval where message_id = $1",
            zip(ids, states, [KEPT_FOR, KEPT_FOR, KEPT_FOR, timedelta(0)], strict=True),
        )
        await connection.execute(
            "update webhook_attempts set at = at - $2::interval where message_id <> $1", ids[3], KEPT_FOR
        )
        clock = await connection.fetchval("select clock_timestamp()")
    cleaner = Cleaner(database)
    assert (await cleaner.delete_deliveries(clock), await cleaner.delete_attempts(clock)) == (3, 3)
    assert set(await endpoint.deliveries()) == {ids[3]}
    assert len(await endpoint.attempts(ids[3])) == 1
