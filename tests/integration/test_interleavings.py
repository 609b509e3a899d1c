"""Neither side can miss the other: of two facts that need each other, whoever commits second sees the first."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from goalstream.domain.facts import Fact
from goalstream.domain.goals import GoalVersion
from tests.integration.builders import World, new_id

WAIT_SECONDS = 10


@dataclass(frozen=True)
class Pair:
    """Two facts that need each other, and what else was told before."""

    before: list[Fact]
    one: Fact
    other: Fact


def match_and_start(world: World, goals: list[GoalVersion]) -> Pair:
    return Pair([], world.match(goals[0]), world.start())


def match_and_a_second_enrollment(world: World, goals: list[GoalVersion]) -> Pair:
    return Pair([world.start()], world.match(goals[0]), world.start(enrollment_id=new_id(), event_id="start-2"))


def match_and_end(world: World, goals: list[GoalVersion]) -> Pair:
    return Pair([world.start()], world.match(goals[0]), world.end(ended_at=world.now - timedelta(hours=3)))


def match_and_status(world: World, goals: list[GoalVersion]) -> Pair:
    return Pair([world.start()], world.match(goals[0]), world.status("inactive"))


def two_matches_of_one_goal(world: World, goals: list[GoalVersion]) -> Pair:
    earlier = world.match(goals[0], event_id="event-0", occurred_at=world.now - timedelta(hours=5))
    return Pair([world.start()], world.match(goals[0]), earlier)


def the_last_two_goals_of_all(world: World, goals: list[GoalVersion]) -> Pair:
    second = world.match(goals[1], event_id="event-2", occurred_at=world.now - timedelta(minutes=30))
    return Pair([world.start(), world.status("active", "all")], world.match(goals[0]), second)


def match_of_the_old_id_and_merge(world: World, goals: list[GoalVersion]) -> Pair:
    old = new_id()
    return Pair([world.start()], world.match(goals[0], contact_id=old), world.merge(old, world.contact_id))


def two_links_of_a_chain_of_merges(world: World, goals: list[GoalVersion]) -> Pair:
    first, second = new_id(), new_id()
    before: list[Fact] = [world.start(), world.match(goals[0], contact_id=first)]
    return Pair(before, world.merge(first, second), world.merge(second, world.contact_id, event_id="merge-2"))


def match_and_deletion(world: World, goals: list[GoalVersion]) -> Pair:
    deletion = world.deletion(world.contact_id, occurred_at=world.now - timedelta(hours=1))
    return Pair([world.start()], world.match(goals[0]), deletion)


def merge_and_start(world: World, goals: list[GoalVersion]) -> Pair:
    old = new_id()
    return Pair([world.match(goals[0], contact_id=old)], world.merge(old, world.contact_id), world.start())


PAIRS: list[Callable[[World, list[GoalVersion]], Pair]] = [
    match_and_start,
    match_and_a_second_enrollment,
    match_and_end,
    match_and_status,
    two_matches_of_one_goal,
    the_last_two_goals_of_all,
    match_of_the_old_id_and_merge,
    two_links_of_a_chain_of_merges,
    match_and_deletion,
    merge_and_start,
]


@asynccontextmanager
async def locked(world: World) -> AsyncIterator[None]:
    """Holds the locks of all enrollments, as another settlement would."""
    async with world.database.transaction() as connection:
        await connection.execute("select from enrollments order by account_id, enrollment_id for update")
        yield


async def until_somebody_waits(world: World) -> None:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            if await world.rows(waiting):
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("make", PAIRS)
async def test_every_interleaving_of_two_workers_gives_what_one_at_a_time_gives(
    world: World, make: Callable[[World, list[GoalVersion]], Pair]
) -> None:
    pair = make(world, [await world.add_goal(), await world.add_goal()])
    await world.tell(*pair.before, pair.one, pair.other)
    expected = await world.state()
    for steps in set(itertools.permutations(["one", "one", "other", "other"])):
        await world.forget()
        await world.tell(*pair.before)
        stored = set()
        for worker in steps:
            fact = pair.one if worker == "one" else pair.other
            await (world.ledger.settle([fact]) if worker in stored else world.ledger.store([fact]))
            stored.add(worker)
        assert await world.state() == expected, steps


@pytest.mark.parametrize("make", PAIRS)
async def test_what_is_stored_while_a_settlement_waits_for_its_lock_is_seen_by_it(
    world: World, make: Callable[[World, list[GoalVersion]], Pair]
) -> None:
    """Lock and read are separate statements: a statement that does both reads from before the wait."""
    pair = make(world, [await world.add_goal(), await world.add_goal()])
    await world.tell(*pair.before, pair.one, pair.other)
    expected = await world.state()
    for first, second in ((pair.one, pair.other), (pair.other, pair.one)):
        await world.forget()
        await world.tell(*pair.before)
        await world.ledger.store([first])
        async with locked(world):
            settling = asyncio.create_task(world.ledger.settle([first]))
            touched = await world.rows("select 1 from enrollments")
            if touched and not settling.done():
                await _waits_or_ends(world, settling)
            await world.ledger.store([second])
        await settling
        await world.ledger.settle([second])
        assert await world.state() == expected


async def _waits_or_ends(world: World, settling: asyncio.Task[object]) -> None:
    waiting = asyncio.create_task(until_somebody_waits(world))
    await asyncio.wait({waiting, settling}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_settlement_that_waited_sees_a_status_that_came_meanwhile_although_nobody_settles_it(
    world: World,
) -> None:
    goal = await world.add_goal()
    await world.tell(world.start())
    await world.ledger.store([world.match(goal)])
    async with locked(world):
        settling = asyncio.create_task(world.ledger.settle([world.match(goal)]))
        await until_somebody_waits(world)
        await world.ledger.store([world.status("inactive")])
    assert (await settling).changes == []
