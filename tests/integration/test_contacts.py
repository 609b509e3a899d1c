"""Merged and deleted contacts on a real PostgreSQL: the survivor is told, and erased data is found nowhere."""

from __future__ import annotations

import asyncio
import itertools
import json
from datetime import timedelta

import pytest

from goalstream.domain.facts import Fact
from goalstream.storage.pool import Database
from tests.integration.builders import World, new_id, topics

SECRET = "ada@example.org"
TABLES = ("matches", "achievements", "outbox", "audit", "enrollments", "enrollment_starts", "contact_merges")


async def places_of_the_secret(world: World) -> list[str]:
    """The tables in which the personal data is still found."""
    found = []
    for table in TABLES:
        if await world.rows(f"select 1 from {table} as row where row::text like '%{SECRET}%'"):
            found.append(table)
    return found


def personal(contact_id: str) -> str:
    return json.dumps({"contact_id": contact_id.upper(), "email": SECRET})


async def test_the_published_contact_is_the_survivor_and_the_row_follows_a_later_merge(world: World) -> None:
    goal, old = await world.add_goal(), new_id()
    settled = await world.tell(world.start(), world.match(goal))
    assert {message.subject for message in settled.messages} == {world.contact_id}
    settled = await world.tell(world.merge(world.contact_id, old))
    assert [(change.action.value, change.achievement.contact_id) for change in settled.changes] == [("moved", old)]
    assert settled.messages == []


async def test_two_workers_that_tell_opposite_merges_agree(world: World) -> None:
    goal, other = await world.add_goal(), new_id()
    facts: list[Fact] = [
        world.start(),
        world.match(goal, contact_id=other),
        world.merge(other, world.contact_id, event_id="b"),
        world.merge(world.contact_id, other, event_id="a"),
    ]
    states = []
    for order in itertools.permutations(facts):
        await world.forget()
        await asyncio.gather(*(world.tell(fact) for fact in order))
        states.append(await world.state())
    assert all(state == states[0] for state in states)
    assert [row[5] for row in states[0]] == [other]


async def test_an_enrollment_of_a_deleted_contact_ends_then_and_what_counted_before_still_counts(world: World) -> None:
    goal = await world.add_goal()
    settled = await world.tell(world.start(), world.deletion(world.contact_id), world.match(goal))
    assert topics(settled.messages) == ["workflow.goal.achieved"]
    (change,) = settled.changes
    assert (change.achievement.late, change.achievement.should_exit_workflow) == (True, False)
    (row,) = await world.rows("select ended_at from enrollments")
    assert row["ended_at"] == world.now - timedelta(minutes=30)


async def test_what_happened_after_a_deletion_is_revoked_for_that(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.start(), world.match(goal))
    settled = await world.tell(world.deletion(world.contact_id, occurred_at=world.now - timedelta(hours=1)))
    assert [change.achievement.revoked_reason for change in settled.changes] == ["contact_deleted"]


@pytest.mark.parametrize("order", list(itertools.permutations(["start", "match", "deletion"])))
async def test_personal_data_of_a_deleted_contact_is_found_nowhere_and_never_again(
    world: World, order: tuple[str, ...]
) -> None:
    goal = await world.add_goal()
    facts: dict[str, Fact] = {
        "start": world.start(),
        "match": world.match(goal, data=personal(world.contact_id)),
        "deletion": world.deletion(world.contact_id),
    }
    for name in order:
        settled = await world.tell(facts[name])
    assert await places_of_the_secret(world) == []
    assert len(await world.state()) == 1
    assert not any(SECRET in message.body for message in settled.messages if order[-1] != "start")
    await world.tell(*facts.values())
    again = world.match(goal, data=personal(world.contact_id), event_id="event-2")
    await world.tell(again)
    assert await places_of_the_secret(world) == []


async def test_a_match_of_nobody_enrolled_is_erased_as_well(world: World) -> None:
    goal = await world.add_goal()
    await world.tell(world.match(goal, data=personal(world.contact_id)))
    await world.tell(world.deletion(world.contact_id))
    assert await places_of_the_secret(world) == []


async def test_deleting_the_survivor_erases_what_the_old_id_did(world: World) -> None:
    goal, old = await world.add_goal(), new_id()
    await world.tell(world.start(), world.match(goal, contact_id=old, data=personal(old)))
    await world.tell(world.merge(old, world.contact_id), world.deletion(world.contact_id))
    assert await places_of_the_secret(world) == []
    (row,) = await world.rows("select body from outbox where topic = 'workflow.goal.achieved'")
    assert json.loads(row["body"])["trigger_event"]["data"] is None


async def test_deleting_an_id_merged_away_before_erases_what_was_recorded_under_it_and_nothing_else(
    world: World,
) -> None:
    first, second, old = await world.add_goal(), await world.add_goal(), new_id()
    await world.tell(world.start(), world.status("active", "all"), world.merge(old, world.contact_id))
    await world.tell(world.match(first, contact_id=old, data=personal(old)))
    await world.tell(world.match(second, event_id="event-2", data=personal(world.contact_id)))
    await world.tell(world.deletion(old))
    rows = await world.rows("select match_contact_id::text as contact, data is null as erased from achievements")
    assert {row["contact"]: row["erased"] for row in rows} == {old: True, world.contact_id: False}
    bodies = [json.loads(row["body"]) for row in await world.rows("select body from outbox")]
    data = {body["goal_config_id"]: body["trigger_event"]["data"] for body in bodies if "trigger_event" in body}
    assert data[first.goal_id] is None
    assert data[second.goal_id]["email"] == SECRET
    assert len(await world.state()) == 2


async def test_what_a_worker_settled_meanwhile_is_erased_too(world: World) -> None:
    """The erasure waits for the enrollment's lock, and comes after whoever held it."""
    goal = await world.add_goal()
    await world.tell(world.start())
    for _ in range(5):
        await asyncio.gather(
            world.tell(world.match(goal, data=personal(world.contact_id))), world.tell(world.deletion(world.contact_id))
        )
    assert await places_of_the_secret(world) == []


async def test_another_account_with_the_same_contact_keeps_its_data(world: World, database: Database) -> None:
    other = World(database, contact_id=world.contact_id, workflow_id=world.workflow_id)
    for one in (world, other):
        await one.tell(one.start(), one.match(await one.add_goal(), data=personal(one.contact_id)))
    await world.tell(world.deletion(world.contact_id))
    rows = await world.rows("select account_id::text, data from achievements")
    assert {row["account_id"]: row["data"] is None for row in rows} == {world.account_id: True, other.account_id: False}
