"""Moments and spans as a person types them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from goalstream.cli.moments import parse_moment, parse_span

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("3600", timedelta(hours=1)),
        ("0", timedelta(0)),
        ("90d", timedelta(days=90)),
        ("1d2h3m4s", timedelta(days=1, hours=2, minutes=3, seconds=4)),
        ("1h30m", timedelta(minutes=90)),
    ],
)
def test_a_span_is_written_in_units_or_is_seconds(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "d", "-1", "1.5h", "1w", "2h1d", "٣", "9" * 13, "2026-11-23", " 1h"])
def test_what_is_no_span_is_none(text: str) -> None:
    assert parse_span(text) is None


def test_a_number_alone_is_no_moment_and_a_span_is_so_long_ago() -> None:
    assert parse_moment("3600", NOW) is None
    assert parse_moment("1h", NOW) == NOW - timedelta(hours=1)
    assert parse_moment("999999d", NOW) is None
