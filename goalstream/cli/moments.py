"""Moments as a person gives them: when, or how long ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from goalstream.domain.times import parse_time

_AGO = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII).fullmatch


def parse_moment(text: str, now: datetime) -> datetime | None:
    """The moment of an RFC 3339 time, or so long before `now`: `2h`, `7d`, `1h30m`, `90s`. None where it is neither."""
    if text and (found := _AGO(text)) is not None:
        days, hours, minutes, seconds = (int(number or 0) for number in found.groups())
        try:
            return now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            return None
    return parse_time(text)
