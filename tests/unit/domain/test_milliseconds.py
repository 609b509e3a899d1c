"""Moments as Kafka counts them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.times import LAST_MILLISECOND, from_milliseconds, to_milliseconds


@given(st.integers(0, LAST_MILLISECOND))
def test_a_moment_read_from_milliseconds_gives_them_back(milliseconds: int) -> None:
    moment = from_milliseconds(milliseconds)
    assert moment is not None
    assert to_milliseconds(moment) == milliseconds


def test_between_two_milliseconds_it_is_the_later_one() -> None:
    moment = datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=UTC)
    assert to_milliseconds(moment) == 1_001
    assert to_milliseconds(moment - timedelta(microseconds=2)) == 1_000
