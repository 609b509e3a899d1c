"""Facts in, achievements out, on a real PostgreSQL: any order, any repetition, any crash in between."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from datetime import timedelta

import pytest

from goalstream.domain.facts import Fact
from goalstream.errors import DatabaseUnavailable, RefusedByDatabase
from goalstream.storage.outbox import Depth, Outbox
from goalstream.storage.pool import Database
from tests.integration.builders import World, new_id, topics

ACHIEVED, REVOKED, EXIT = "workflow.goal.achieved", "workflow.goal.revoked", "workflow.exit.goal"


async def test_a_match_of_an_enrolled_contact_is_an_achievement_with_an_exit(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    settled = await world.tell(world.match(goal))
    assert topics(settled.messages) == [EXIT, ACHIEVED]
    achieved = json.loads(next(message.body for message in settled.messages if message.topic == ACHIEVED))
    assert achieved["should_exit_workflow"] is True
    assert achieved["progress"] == {"met": 1, "required": 1}
    assert achieved["trigger_event"]["data"] == {"contact_id": world.contact_id}


async def test_the_event_may_arrive_before_its_enrollment(world: World) -> None:
    goal = await world.add_goal()
    assert (await world.tell(world.match(goal))).messages == []
    assert topics((await world.tell(world.start())).messages) == [EXIT, ACHIEVED]


async def test_what_happened_before_the_enrollment_does_not_count(world: World) -> None:
    goal = await world.add_goal()
    early = world.match(goal, occurred_at=world.now - timedelta(days=2, microseconds=1))
    assert (await world.tell(world.start(), early)).messages == []


async def test_telling_everything_again_changes_nothing(world: World) -> None:
    goal = await world.add_goal()
    facts: list[Fact] = [world.start(), world.match(goal), world.status(), world.end()]
    await world.tell(*facts)
    before = await world.rows("select * from achievements"), await world.rows("select entry_id from audit")
    again = await world.tell(*facts, *facts)
    assert (again.changes, again.messages) == ([], [])
    assert (await world.rows("select * from achievements"), await world.rows("select entry_id from audit")) == before


async def test_a_crash_between_store_and_settle_is_repaired_by_the_replay(world: World) -> None:
    goal = await world.add_goal()
    facts: list[Fact] = [world.start(), world.match(goal)]
    await world.ledger.store(facts)
    assert await world.state() == []
    await world.tell(*facts)
    assert len(await world.state()) == 1


async def test_every_order_of_arrival_gives_the_same_state(world: World) -> None:
    first, second = await world.add_goal(), await world.add_goal()
    facts: list[Fact] = [
        world.start(),
        world.status("active", "all"),
        world.match(first, occurred_at=world.now - timedelta(hours=5)),
        world.match(second, event_id="event-2", occurred_at=world.now - timedelta(hours=4)),
        world.end(ended_at=world.now - timedelta(hours=2)),
    ]
    states = []
    for order in itertools.permutations(facts):
        await world.forget()
        for fact in order:
            await world.tell(fact)
        states.append(await world.state())
    assert len(states[0]) == 2
    assert all(state == states[0] for state in states)


async def test_an_earlier_event_moves_the_achievement_and_is_not_published_again(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    earlier = world.match(goal, event_id="event-0", occurred_at=world.now - timedelta(hours=3))
    settled = await world.tell(earlier)
    assert [change.action.value for change in settled.changes] == ["moved"]
    assert settled.messages == []
    assert (await world.rows("select action from audit order by entry_id desc limit 1"))[0]["action"] == "moved"


async def test_what_loses_its_ground_is_revoked_and_restored_with_the_next_revision(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    inactive = world.status("inactive", occurred_at=world.now - timedelta(hours=2))
    revoked = await world.tell(inactive)
    assert topics(revoked.messages) == [REVOKED]
    assert json.loads(revoked.messages[0].body)["revoked_reason"] == "workflow_inactive"
    active = world.status("active", event_id="status-2", occurred_at=world.now - timedelta(minutes=90))
    restored = await world.tell(active)
    assert topics(restored.messages) == [ACHIEVED]
    assert json.loads(restored.messages[0].body)["revision"] == 3


async def test_an_end_that_is_already_known_makes_it_late_and_sends_no_exit(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.end())
    settled = await world.tell(world.match(goal))
    assert topics(settled.messages) == [ACHIEVED]
    assert json.loads(settled.messages[0].body)["metadata"]["late"] is True


async def test_the_echo_of_our_exit_closes_nothing_that_was_achieved(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    echo = world.end(ended_at=world.now - timedelta(hours=1), reason="goal_achieved")
    assert (await world.tell(echo)).changes == []
    assert len(await world.state()) == 1


async def test_parallel_enrollments_each_get_their_achievement(world: World) -> None:
    goal = await world.add_goal()
    other = new_id()
    settled = await world.tell(world.start(), world.start(enrollment_id=other), world.match(goal))
    assert {change.achievement.enrollment_id for change in settled.changes} == {world.enrollment_id, other}


async def test_exactly_one_of_two_concurrent_events_is_the_last(world: World) -> None:
    goals = [await world.add_goal() for _ in range(3)]
    await world.tell(world.start(), world.status("active", "all"))
    facts = [world.match(goal, event_id=f"event-{number}") for number, goal in enumerate(goals)]
    settled = await asyncio.gather(*(world.tell(fact) for fact in facts))
    messages = [message for one in settled for message in one.messages]
    assert topics(messages) == [EXIT, ACHIEVED, ACHIEVED, ACHIEVED]
    assert any(json.loads(message.body).get("should_exit_workflow") for message in messages)


async def test_many_writers_of_the_same_facts_in_random_order_never_deadlock(world: World) -> None:
    goal = await world.add_goal()
    people = [(new_id(), new_id()) for _ in range(30)]
    facts: list[Fact] = [world.start(enrollment_id=e, contact_id=c) for e, c in people]
    facts += [world.match(goal, contact_id=c) for _, c in people]
    shuffle = random.Random(7)

    async def write() -> None:
        await world.tell(*shuffle.sample(facts, len(facts)))

    await asyncio.gather(*(write() for _ in range(8)))
    assert len(await world.state()) == 30


async def test_more_enrollments_than_fit_a_transaction_are_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalstream.storage.ledger.MAX_ENROLLMENTS_PER_TRANSACTION", 7)
    goal = await world.add_goal()
    settled = await world.tell(*(world.start(enrollment_id=new_id()) for _ in range(20)), world.match(goal))
    assert len(settled.changes) == 20


async def test_copies_of_a_match_are_one_with_the_smallest_timestamp_and_text(world: World) -> None:
    goal = await world.add_goal()
    copies = [
        world.match(goal, record_at=world.now + timedelta(hours=hours), data=f'{{"copy":"{text}"}}')
        for hours, text in ((2, "b"), (1, "c"), (3, "a"))
    ]
    await world.tell(copies[0], copies[1])
    await world.tell(copies[2])
    (row,) = await world.rows("select record_at, data from matches")
    assert (row["record_at"], row["data"]) == (world.now + timedelta(hours=1), '{"copy":"a"}')


async def test_facts_that_differ_are_facts_of_their_own_and_copies_are_not(world: World) -> None:
    later = world.start(record_at=world.now + timedelta(hours=1))
    await world.tell(later, world.start(), world.start(contact_id=new_id()))
    found = await world.rows("select record_at from enrollment_starts")
    assert [row["record_at"] for row in found] == [world.now, world.now]


async def test_the_messages_of_a_settlement_are_in_the_outbox_and_leave_it_when_deleted(world: World) -> None:
    goal = await world.add_goal()
    settled = await world.tell(world.start(), world.match(goal))
    outbox = Outbox(world.database)
    async with outbox.due(10) as due:
        assert [message.topic for message in due.messages] == ["workflow.goal.configured"]
        due.acknowledged = due.messages
    await outbox.delete(settled.messages)
    assert await world.rows("select 1 from outbox") == []


async def test_what_fails_to_be_published_stays_in_the_outbox(world: World) -> None:
    await world.add_goal()
    outbox = Outbox(world.database)
    with pytest.raises(ZeroDivisionError):
        async with outbox.due(10):
            raise ZeroDivisionError
    async with outbox.due(10):
        """Nobody says that anything was acknowledged."""
    assert len(await world.rows("select 1 from outbox")) == 1


async def test_what_is_too_large_for_its_topic_is_tried_again_later(world: World) -> None:
    await world.add_goal()
    outbox = Outbox(world.database)
    async with outbox.due(10) as due:
        due.too_large = due.messages
    async with outbox.due(10) as due:
        assert due.messages == []
    (row,) = await world.rows("select publish_after > clock_timestamp() + interval '50 seconds' as waits from outbox")
    assert row["waits"]


async def test_the_depth_of_the_outbox_is_its_messages_and_the_age_of_the_oldest(world: World) -> None:
    outbox = Outbox(world.database)
    assert await outbox.depth() == Depth(messages=0, age_seconds=0)
    await world.tell(world.start(), world.match(await world.add_goal()))
    async with world.database.transaction() as connection:
        await connection.execute(
            "update outbox set created_at = clock_timestamp() - interval '1 minute' where topic = 'workflow.exit.goal'"
        )
    depth = await outbox.depth()
    assert depth.messages == 3  # achieved, exit, and the goal itself
    assert 60 <= depth.age_seconds < 120


async def test_two_sweepers_never_take_the_same_message(world: World) -> None:
    await world.add_goal()
    outbox = Outbox(world.database)
    async with outbox.due(10) as one, outbox.due(10) as other:
        assert (len(one.messages), len(other.messages)) == (1, 0)


async def test_a_row_that_postgresql_refuses_is_told_apart_from_a_database_that_is_away(world: World) -> None:
    goal = await world.add_goal()
    with pytest.raises(RefusedByDatabase):
        await world.ledger.store([world.match(goal, event_id="nul \x00")])
    away = Database("postgresql://nobody@127.0.0.1:1/nowhere", size=1)
    with pytest.raises(DatabaseUnavailable):
        async with away.transaction():
            raise AssertionError
