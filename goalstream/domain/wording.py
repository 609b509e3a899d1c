"""Moments and lengths of time, for people and exact: what differs reads differently."""

from __future__ import annotations

from datetime import datetime, timedelta

from goalstream.domain.durations import format_duration

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))


def moment_in_words(moment: datetime) -> str:
    """`2026-03-12 09:30:00 UTC`, with microseconds where there are any."""
    fraction = f".{moment.microsecond:06}".rstrip("0") if moment.microsecond else ""
    whole = moment.replace(tzinfo=None, microsecond=0)
    return f"{whole.isoformat(sep=' ')}{fraction} UTC"


def length_in_words(length: timedelta) -> str:
    """`8 days 1 hour`; down to microseconds where there are any. Of no negative length."""
    rest, fraction = length.days * 86_400 + length.seconds, length.microseconds
    words = []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds)
        if count:
            words.append(_counted(str(count), unit))
    if rest or fraction or not words:
        words.append(_counted(_decimal(rest, fraction), "second"))
    return " ".join(words)


def exact_duration(length: timedelta) -> str:
    """ISO 8601, with a fraction of seconds where there is one: `P3D`, `PT0.25S`. Of no negative length."""
    if not length.microseconds:
        return format_duration(length)
    return f"PT{_decimal(length.days * 86_400 + length.seconds, length.microseconds)}S"


def _decimal(seconds: int, microseconds: int) -> str:
    return f"{seconds}.{microseconds:06}".rstrip("0") if microseconds else str(seconds)


def _counted(count: str, unit: str) -> str:
    return f"{count} {unit}" if count == "1" else f"{count} {unit}s"
