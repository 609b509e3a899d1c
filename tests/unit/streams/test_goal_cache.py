"""The goal table is trusted only as far as a refresh has proved it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from goalstream.errors import DatabaseUnavailable
from goalstream.streams.goal_cache import GoalCache
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
