"""How often an account may ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.api.rate_limit import RateLimit


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_without_a_limit_any_number_is_answered() -> None:
    limit = RateLimit(0)
    assert [limit.take("a") for _ in range(10_000)] == [0.0] * 10_000


def test_a_minutes_worth_may_come_at_once_and_the_next_has_to_wait() -> None:
    clock = Clock()
    limit = RateLimit(60, clock=clock)
    assert [limit.take("a") for _ in range(60)] == [0.0] * 60
    assert limit.take("a") == pytest.approx(1.0)
    clock.now += 0.75
    assert limit.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.take("a") == 0.0
    assert limit.take("a") == pytest.approx(1.0)


def test_accounts_do_not_take_from_each_other() -> None:
    limit = RateLimit(1, clock=Clock())
    assert (limit.take("a"), limit.take("b")) == (0.0, 0.0)
    assert limit.take("a") == limit.take("b") == pytest.approx(60.0)


def test_who_waits_as_long_as_told_is_answered() -> None:
    clock = Clock()
    limit = RateLimit(7, clock=clock)
    for _ in range(100):
        wait = limit.take("a")
        if wait:
            clock.now += wait + 1e-6
            assert limit.take("a") == 0.0


def test_a_minute_of_silence_fills_the_bucket_and_no_more() -> None:
    clock = Clock()
    limit = RateLimit(5, clock=clock)
    for _ in range(3):
        clock.now += 100_000
        assert [limit.take("a") == 0.0 for _ in range(6)] == [True] * 5 + [False]


def test_accounts_that_are_silent_are_forgotten() -> None:
    clock = Clock()
    limit = RateLimit(5, clock=clock)
    for number in range(1_000):
        limit.take(f"account {number}")
    clock.now += 60
    limit.take("another")
    assert len(limit._buckets) == 1


@given(per_minute=st.integers(1, 50), pauses=st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_never_more_than_two_minutes_worth_within_a_minute(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    limit = RateLimit(per_minute, clock=clock)
    taken = []
    for pause in pauses:
        clock.now += pause
        if limit.take("a") == 0.0:
            taken.append(clock.now)
    for first in taken:
        assert sum(first <= one < first + 60 for one in taken) <= 2 * per_minute
