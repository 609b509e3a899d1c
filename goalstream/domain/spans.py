"""Spans of time: what entered a workflow in each is counted beforehand, so that few of them make up any cohort.

All spans of a level are as long as each other and begin where one of the next level does; the longest begin with the calendar.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from goalstream.domain.values import value

LEVELS = (timedelta(minutes=15), timedelta(days=1), timedelta(days=28))
"""How long spans are. The shortest divide the days of every time zone: since 1972 all offsets are multiples of 15 minutes."""

ORIGIN = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)
"""Nothing is earlier or later: a Monday, and the end of the calendar."""

BIN_SECONDS = 600
"""Times to goal are counted in bins of ten minutes. Taken for the middle of its bin, none is wrong by more than 0.084 hours."""


@value
class Cover:
    """What makes up [start, end): whole spans, as (level, start, end) of all that lie next to each other, and the rest."""

    spans: Sequence[tuple[int, datetime, datetime]]
    rest: Sequence[tuple[datetime, datetime]]


@value
class Times:
    """How often it took how long: (bin, number) in ascending order, and the extremes in seconds."""

    bins: Sequence[tuple[int, int]]
    fastest: Decimal
    slowest: Decimal


def span_start(moment: datetime, level: int) -> datetime:
    """Where the span of a level begins that holds a moment."""
    return moment - (moment - ORIGIN) % LEVELS[level]


def cover(start: datetime | None, end: datetime | None) -> Cover:
    """The longest spans that fit into [start, end), and what is left of it; None is as early or as late as can be."""
    first, last = start or ORIGIN, end or LAST
    spans: list[tuple[int, datetime, datetime]] = []
    gaps = [(first, last)]
    for level in reversed(range(len(LEVELS))):
        found, gaps = _fill(gaps, level)
        spans += found
    return Cover(spans=spans, rest=[(begin, end) for begin, end in gaps if begin < end])


def _fill(
    gaps: Sequence[tuple[datetime, datetime]], level: int
) -> tuple[list[tuple[int, datetime, datetime]], list[tuple[datetime, datetime]]]:
    """Whole spans of a level inside the gaps, and the gaps that are left."""
    found, left = [], []
    for first, last in gaps:
        begin, end = _next_start(first, level), span_start(last, level)
        if begin < end:
            found.append((level, begin, end))
            left += [(first, begin), (end, last)]
        else:
            left.append((first, last))
    return found, left


def _next_start(moment: datetime, level: int) -> datetime:
    """The first moment at or after this one at which a span of a level begins; the last of all where there is none."""
    before = span_start(moment, level)
    if before == moment:
        return moment
    return before + LEVELS[level] if LAST - before > LEVELS[level] else LAST


def percentile(times: Times, share: Decimal) -> Decimal:
    """The seconds that `share` of all do not exceed, interpolated as PostgreSQL's percentile_cont does; of at least one."""
    position = share * (sum(number for _, number in times.bins) - 1)
    rank = int(position)
    lower, upper = _at_rank(times, rank), _at_rank(times, rank + 1)
    return lower + (upper - lower) * (position - rank)


def _at_rank(times: Times, rank: int) -> Decimal:
    """The time that has so many before it, in ascending order; the last, where there are fewer."""
    before = accumulate(number for _, number in times.bins)
    bin_ = next((bin_ for (bin_, _), upto in zip(times.bins, before, strict=True) if upto > rank), times.bins[-1][0])
    middle = Decimal(bin_ * BIN_SECONDS + BIN_SECONDS // 2)
    return min(max(middle, times.fastest), times.slowest)
