"""Moments and spans as a person gives them: when, how long ago, or for how long."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from goalstream.domain.times import parse_time

_SPAN = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII).fullmatch
_SECONDS = re.compile(r"\d{1,12}", re.ASCII).fullmatch


def parse_span(text: str) -> timedelta | None:
    """The length of `90d`, `12h`, `1h30m`, `45s`, or of so many seconds. None where it is none of these."""
    if _SECONDS(text):
        return timedelta(seconds=int(text))
    found = _SPAN(text)
    if not text or found is None:
        return None
    days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_moment(text: str, now: datetime) -> datetime | None:
    """The moment of an RFC 3339 time, or so long before `now`: `2h`, `7d`, `1h30m`, `90s`. None where it is neither."""
    span = None if _SECONDS(text) else parse_span(text)
    if span is None:
        return parse_time(text)
    try:
        return now - span
    except OverflowError:
        return None
