"""Times as RFC 3339 writes them: read into aware UTC datetimes of microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# What Python reads more generously than RFC 3339 is refused here: 24:00 (from 3.14 on), and offsets of 60 minutes and more.
_RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?!24)\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:[0-5]\d)?", re.ASCII
).fullmatch

# As programs write times. Nearly every time of an event is one, and read in half the time.
_USUAL = re.compile(r"\d{4}-\d\d-\d\dT(?!24)\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", re.ASCII).fullmatch

_SECONDS = slice(17, 19)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LAST_MILLISECOND = 253_402_300_799_999
"""Since 1970, that a calendar knows: the last of the year 9999."""


def parse_time(text: str) -> datetime | None:
    """The moment, finer than microseconds truncated, without an offset UTC; None when it is not RFC 3339."""
    if _USUAL(text) is None:
        return _parse_any(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:  # a leap second, or a day that no calendar knows
        return _parse_any(text)


def _parse_any(text: str) -> datetime | None:
    if _RFC3339(text) is None:
        return None
    is_leap_second = text[_SECONDS] == "60"
    if is_leap_second:
        text = f"{text[: _SECONDS.start]}59{text[_SECONDS.stop :]}"
    try:
        moment = datetime.fromisoformat(text if text[-1] != "z" else text.upper())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return moment + timedelta(seconds=1) if is_leap_second else moment
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def from_milliseconds(milliseconds: int) -> datetime | None:
    """The moment of a Kafka record's timestamp; None when it has none, or one that no calendar knows."""
    if not 0 <= milliseconds <= LAST_MILLISECOND:
        return None
    return _EPOCH + timedelta(milliseconds=milliseconds)


def to_milliseconds(moment: datetime) -> int:
    """Since 1970, the first that is not before a moment."""
    return -((_EPOCH - moment) // timedelta(milliseconds=1))


def format_time(moment: datetime) -> str:
    """As RFC 3339 writes a moment of UTC, with `Z`."""
    return moment.isoformat().replace("+00:00", "Z")
