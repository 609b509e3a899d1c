"""Spans of time: those that make up a cohort, and percentiles of what was counted in bins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalstream.domain.spans import BIN_SECONDS, LAST, LEVELS, ORIGIN, Times, cover, percentile, span_start

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
moments = st.datetimes(timezones=st.just(UTC)) | st.sampled_from([ORIGIN, LAST, NOON])


def times(seconds: list[Decimal]) -> Times:
    bins: dict[int, int] = {}
    for each in sorted(seconds):
        bin_ = int(each // BIN_SECONDS)
        bins[bin_] = bins.get(bin_, 0) + 1
    return Times(bins=list(bins.items()), fastest=min(seconds), slowest=max(seconds))


def test_spans_of_a_level_begin_where_one_of_the_next_does() -> None:
    assert all(longer % shorter == timedelta(0) for shorter, longer in pairwise(LEVELS))
    assert ORIGIN.weekday() == 0
    assert span_start(NOON + timedelta(minutes=14), 0) == NOON
    assert span_start(NOON, 1) == NOON - timedelta(hours=12)


@given(moments, moments)
def test_spans_and_the_rest_make_up_a_cohort_without_gaps_or_overlaps(one: datetime, other: datetime) -> None:
    start, end = sorted((one, other))
    found = cover(start, end)
    pieces = sorted([*((begin, upto) for _, begin, upto in found.spans), *found.rest])
    assert all(begin < upto for begin, upto in pieces)
    assert [begin for begin, _ in pieces[1:]] == [upto for _, upto in pieces[:-1]]
    assert (start == end) if not pieces else (pieces[0][0], pieces[-1][1]) == (start, end)


@given(moments, moments)
def test_spans_are_whole_and_few(one: datetime, other: datetime) -> None:
    found = cover(*sorted((one, other)))
    for level, begin, upto in found.spans:
        assert (span_start(begin, level), span_start(upto, level)) == (begin, upto)
        if level < len(LEVELS) - 1:
            assert upto - begin < 2 * LEVELS[level + 1]
    assert all(upto - begin < 2 * LEVELS[0] for begin, upto in found.rest)
    assert len(found.rest) <= 2


def test_a_cohort_without_bounds_is_all_there_is() -> None:
    found = cover(None, None)
    assert found.spans[0][:2] == (2, ORIGIN)
    assert found.rest == [(span_start(LAST, 0), LAST)]


def test_a_cohort_that_ends_before_it_begins_is_empty() -> None:
    found = cover(NOON, NOON - timedelta(days=60))
    assert (found.spans, found.rest) == ([], [])


@given(
    st.lists(st.decimals(min_value=0, max_value=5_000_000, places=6), min_size=2, max_size=60),
    st.sampled_from([5, 9]),
)
def test_percentiles_are_within_a_tenth_of_an_hour(seconds: list[Decimal], tenths: int) -> None:
    exact = quantiles(seconds, n=10, method="inclusive")[tenths - 1]
    assert abs(percentile(times(seconds), Decimal(tenths) / 10) - exact) <= BIN_SECONDS // 2
    assert BIN_SECONDS // 2 < 360


@pytest.mark.parametrize("share", [Decimal("0.5"), Decimal("0.9")])
def test_the_percentile_of_one_is_that_one(share: Decimal) -> None:
    assert percentile(times([Decimal("7.25")]), share) == Decimal("7.25")
