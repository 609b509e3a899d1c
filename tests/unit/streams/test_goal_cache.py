"""The goal table is trusted only as far as a refresh has proved it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from goalstream.domain.goals import GoalVersion
from goalstream.errors import DatabaseUnavailable
from goalstream.streams.goal_cache import GoalCache
from tests.unit.domain.builders import at, event, goal
from tests.unit.streams.fakes import FakeGoals, until
from tests.unit.streams.records import NOON

DELAY = timedelta(seconds=2)


async def complete_for(cache: GoalCache, *moments: datetime) -> datetime:
    return await cache.complete_for(max(moments), lambda: moments)


async def test_moments_before_the_horizon_need_no_refresh() -> None:
    goals = FakeGoals()
    cache = GoalCache(goals, activation_delay=DELAY)
    await cache.refresh()
    assert await complete_for(cache, NOON, NOON + DELAY) == NOON + DELAY
    assert len(goals.asked) == 1


async def test_everybody_who_asks_meanwhile_shares_the_next_refresh() -> None:
    goals = FakeGoals(gate=asyncio.Event())
    cache = GoalCache(goals, activation_delay=DELAY)
    asking = [asyncio.create_task(cache.refresh())]
    await until(lambda: len(goals.asked) == 1)
    asking += [asyncio.create_task(cache.refresh()) for _ in range(5)]
    await asyncio.sleep(0)
    assert goals.gate is not None
    goals.gate.set()
    await asyncio.gather(*asking)
    assert len(goals.asked) == 2


async def test_a_refresh_that_began_before_the_question_does_not_answer_it() -> None:
    goals = FakeGoals(gate=asyncio.Event())
    cache = GoalCache(goals, activation_delay=timedelta(0))
    early = asyncio.create_task(cache.refresh())
    await until(lambda: len(goals.asked) == 1)
    question = asyncio.create_task(complete_for(cache, NOON))
    await asyncio.sleep(0)
    assert goals.gate is not None
    goals.gate.set()
    await asyncio.gather(early, question)
    assert len(goals.asked) == 2


async def test_a_failed_refresh_leaves_the_question_open() -> None:
    goals = FakeGoals()
    cache = GoalCache(goals, activation_delay=DELAY)

    async def fail(change_id: int) -> object:
        raise DatabaseUnavailable("away")

    healthy = goals.changes_since
    goals.changes_since = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(DatabaseUnavailable):
        await complete_for(cache, NOON)
    goals.changes_since = healthy  # type: ignore[method-assign]
    assert await complete_for(cache, NOON) == NOON + DELAY


async def test_keeping_fresh_ends_only_with_the_database() -> None:
    goals = FakeGoals()
    cache = GoalCache(goals, activation_delay=DELAY)
    keeping = asyncio.create_task(cache.keep_fresh())
    await until(lambda: len(goals.asked) >= 1)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_the_age_of_the_table_counts_from_the_last_answer_and_not_from_the_last_question() -> None:
    now = 100.0
    goals = FakeGoals()
    cache = GoalCache(goals, activation_delay=DELAY, monotonic=lambda: now)
    now = 103.0
    assert cache.age_seconds() == 3
    await cache.refresh()
    assert cache.age_seconds() == 0
    goals.gate = asyncio.Event()
    asking = asyncio.create_task(cache.refresh())
    now = 105.0
    await until(lambda: len(goals.asked) == 2)
    assert cache.age_seconds() == 2
    goals.gate.set()
    await asking
    assert cache.age_seconds() == 0


def changed_goals() -> list[GoalVersion]:
    """Three goals that ask for the same, in the order of their changes."""
    versions = [goal("g1"), goal("g2"), goal("g2", 2, effective_from=at(-2), is_active=False), goal("g3")]
    return [*versions, goal("g1", 2, effective_from=at(-1)), goal("g2", 3, effective_from=at(-1))]


@pytest.mark.parametrize("portion", [1, 2, 3, 6, 7])
async def test_loading_in_portions_gives_the_same_table_as_at_once(portion: int) -> None:
    cache = GoalCache(FakeGoals(versions=changed_goals(), portion=portion), activation_delay=DELAY)
    await cache.refresh()
    at_once = GoalCache(FakeGoals(versions=changed_goals()), activation_delay=DELAY)
    await at_once.refresh()
    assert len(cache.table) == len(at_once.table) == 3
    for hours in (-3, -1.5, 0):
        assert cache.table.match(event(hours=hours)) == at_once.table.match(event(hours=hours))


async def test_others_have_a_turn_between_two_portions() -> None:
    goals = FakeGoals(versions=changed_goals(), portion=1)
    cache = GoalCache(goals, activation_delay=DELAY)
    asked_before_each_turn: list[int] = []

    async def other() -> None:
        while True:
            asked_before_each_turn.append(len(goals.asked))
            await asyncio.sleep(0)

    others = asyncio.create_task(other())
    await cache.refresh()
    others.cancel()
    assert asked_before_each_turn == [1, 2, 3, 4, 5, 6]


async def test_the_table_is_trusted_only_when_all_portions_are_in_and_up_to_the_clock_of_the_last() -> None:
    now = 100.0
    goals = FakeGoals(versions=changed_goals(), portion=5)
    cache = GoalCache(goals, activation_delay=DELAY, monotonic=lambda: now)
    goals.gate = asyncio.Event()
    goals.gate.set()
    question = asyncio.create_task(complete_for(cache, NOON))
    await asyncio.sleep(0)
    goals.gate.clear()
    now = 103.0
    await until(lambda: len(goals.asked) == 2)
    assert len(cache.table) == 2
    assert not question.done()
    assert cache.age_seconds() == 3
    goals.clock = NOON + timedelta(seconds=1)
    goals.gate.set()
    assert await question == NOON + timedelta(seconds=1) + DELAY
    assert cache.age_seconds() == 0


async def test_who_asks_while_portions_are_read_is_answered_by_the_last_if_it_begins_later() -> None:
    goals = FakeGoals(versions=changed_goals(), portion=4, gate=asyncio.Event())
    cache = GoalCache(goals, activation_delay=DELAY)
    asking = [asyncio.create_task(cache.refresh())]
    await until(lambda: len(goals.asked) == 1)
    asking.append(asyncio.create_task(cache.refresh()))
    await asyncio.sleep(0)
    assert goals.gate is not None
    goals.gate.set()
    await asyncio.gather(*asking)
    assert goals.asked == [0, 4]


async def test_a_load_that_was_interrupted_goes_on_where_it_was() -> None:
    goals = FakeGoals(versions=changed_goals(), portion=2)
    cache = GoalCache(goals, activation_delay=DELAY)
    healthy = goals.changes_since

    async def fail_once(change_id: int) -> object:
        if change_id == 2:
            goals.changes_since = healthy  # type: ignore[method-assign]
            raise DatabaseUnavailable("away")
        return await healthy(change_id)

    goals.changes_since = fail_once  # type: ignore[method-assign, assignment]
    with pytest.raises(DatabaseUnavailable):
        await cache.refresh()
    assert await cache.refresh() == NOON
    assert goals.asked == [0, 2, 4, 6]
    assert len(cache.table) == 3
