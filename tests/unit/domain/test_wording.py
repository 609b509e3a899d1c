"""Times in sentences: exact, and no longer than needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.durations import parse_duration
from goalstream.domain.wording import exact_duration, length_in_words, moment_in_words


@pytest.mark.parametrize(
    ("length", "words", "written"),
    [
        (timedelta(), "0 seconds", "PT0S"),
        (timedelta(seconds=1), "1 second", "PT1S"),
        (timedelta(days=8, hours=1), "8 days 1 hour", "PT193H"),
        (timedelta(hours=72), "3 days", "P3D"),
        (timedelta(hours=72, milliseconds=1), "3 days 0.001 seconds", "PT259200.001S"),
        (timedelta(minutes=1, seconds=1, microseconds=500_000), "1 minute 1.5 seconds", "PT61.5S"),
    ],
)
def test_a_length_is_told_to_the_microsecond(length: timedelta, words: str, written: str) -> None:
    assert length_in_words(length) == words
    assert exact_duration(length) == written


@given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=4_000)), st.integers(1, 10**9))
def test_lengths_that_differ_read_differently(length: timedelta, more: int) -> None:
    longer = length + timedelta(microseconds=more)
    assert length_in_words(length) != length_in_words(longer)
    assert exact_duration(length) != exact_duration(longer)
    if not length.microseconds:
        assert parse_duration(exact_duration(length)) == length


def test_a_moment_is_told_with_what_it_has_of_a_second() -> None:
    moment = datetime(2026, 3, 12, 9, 30, tzinfo=UTC)
    assert moment_in_words(moment) == "2026-03-12 09:30:00 UTC"
    assert moment_in_words(moment.replace(microsecond=120_000)) == "2026-03-12 09:30:00.12 UTC"
