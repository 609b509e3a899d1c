"""Deliveries: what is sent, when it is tried again, and when an endpoint is left alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.deliveries import (
    FAILURES_TO_OPEN,
    FIRST_DELAY_SECONDS,
    FIRST_OPEN_SECONDS,
    JITTER,
    LONGEST_DELAY_SECONDS,
    LONGEST_OPEN_SECONDS,
    PATIENCE,
    delay_seconds,
    envelope,
    is_delivered,
    is_on_trial,
    open_seconds,
)
from goalstream.domain.times import format_time, parse_time

MIDDLE = 0.5
chances = st.floats(0, 1)
attempts = st.integers(1, 10_000)


def test_a_body_is_the_message_as_kafka_has_it_in_an_envelope() -> None:
    data = '{"amount":12.50,"name":"Zoë","big":12345678901234567890}'
    body = envelope("workflow.goal.achieved", datetime(2026, 11, 28, 9, 30, tzinfo=UTC), data)
    assert body == f'{{"type":"workflow.goal.achieved","timestamp":"2026-11-28T09:30:00Z","data":{data}}}'.encode()
    assert json.loads(body)["data"]["name"] == "Zoë"


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_is_written_so_that_it_is_read_as_the_same(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment
    assert format_time(moment).endswith("Z")


@pytest.mark.parametrize(
    ("status", "wanted"),
    [(200, True), (204, True), (299, True), (300, False), (302, False), (199, False), (410, False), (500, False)],
)
def test_only_2xx_means_that_an_endpoint_has_taken_a_message(status: int, wanted: bool) -> None:
    assert is_delivered(status) is wanted
    assert not is_delivered(None)


def test_each_delay_is_three_times_the_one_before_up_to_six_hours() -> None:
    delays = [delay_seconds(number, chance=MIDDLE) for number in range(1, 12)]
    assert delays[:5] == [5, 15, 45, 135, 405]
    assert delays[-1] == LONGEST_DELAY_SECONDS == 21_600
    assert all(later == pytest.approx(min(3 * earlier, LONGEST_DELAY_SECONDS)) for earlier, later in pairwise(delays))


def test_within_a_day_it_is_tried_ten_times_or_more_whatever_the_chance() -> None:
    for chance in (0.0, MIDDLE, 1.0):
        waited, tried = 0.0, 1
        while waited <= PATIENCE.total_seconds():
            waited += delay_seconds(tried, chance=chance)
            tried += waited <= PATIENCE.total_seconds()
        assert 10 <= tried <= 16


@given(attempts, chances, st.none() | st.floats(0, 10**9))
def test_a_delay_is_at_most_a_fifth_shorter_or_longer_than_usual_and_never_without_bound(
    number: int, chance: float, retry_after_seconds: float | None
) -> None:
    delay, usual = delay_seconds(number, chance=chance), delay_seconds(number, chance=MIDDLE)
    assert (1 - JITTER) * usual <= delay * (1 + 1e-9)
    assert delay <= (1 + JITTER) * usual * (1 + 1e-9)
    delay = delay_seconds(number, chance=chance, retry_after_seconds=retry_after_seconds)
    assert delay >= min(retry_after_seconds or 0, LONGEST_DELAY_SECONDS)
    shortest, longest = (1 - JITTER) * FIRST_DELAY_SECONDS, (1 + JITTER) * LONGEST_DELAY_SECONDS
    assert shortest * (1 - 1e-9) <= delay <= longest * (1 + 1e-9)


@given(attempts, chances)
def test_the_more_attempts_the_longer_the_delay(number: int, chance: float) -> None:
    assert delay_seconds(number, chance=chance) <= delay_seconds(number + 1, chance=chance)


@pytest.mark.parametrize(
    ("asked", "wanted"), [(None, 5), (0, 5), (2, 5), (120, 132), (10**9, 1.1 * LONGEST_DELAY_SECONDS)]
)
def test_what_an_endpoint_asks_for_is_kept_to_where_it_is_longer(asked: float | None, wanted: float) -> None:
    assert delay_seconds(1, chance=MIDDLE, retry_after_seconds=asked) == pytest.approx(wanted)


def test_a_circuit_opens_after_some_failures_in_a_row_and_for_twice_as_long_each_time() -> None:
    assert [open_seconds(number) for number in range(FAILURES_TO_OPEN)] == [None] * FAILURES_TO_OPEN
    assert not any(map(is_on_trial, range(FAILURES_TO_OPEN)))
    assert is_on_trial(FAILURES_TO_OPEN)
    found = [open_seconds(FAILURES_TO_OPEN + number) for number in range(8)]
    assert found == [30, 60, 120, 240, 480, 960, 1_800, 1_800]
    assert found[0] == FIRST_OPEN_SECONDS


@given(st.integers(0, 2**31 - 1))
def test_an_endpoint_on_trial_is_one_whose_circuit_is_open_and_that_is_never_for_good(failures: int) -> None:
    seconds = open_seconds(failures)
    assert is_on_trial(failures) == (seconds is not None)
    assert seconds is None or FIRST_OPEN_SECONDS <= seconds <= LONGEST_OPEN_SECONDS
