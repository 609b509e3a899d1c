"""ISO 8601 durations of fixed length: weeks, days, hours, minutes, seconds."""

from __future__ import annotations

import re
from datetime import timedelta

MAX_WINDOW = timedelta(days=3650)
MAX_MEASURE_AFTER_EXIT = timedelta(days=90)

_DURATION = re.compile(
    r"P(?:(?P<weeks>\d{1,9})W"
    r"|(?:(?P<days>\d{1,9})D)?(?:T(?=\d)(?:(?P<hours>\d{1,9})H)?(?:(?P<minutes>\d{1,9})M)?(?:(?P<seconds>\d{1,9})S)?)?)",
    re.ASCII,
).fullmatch

_UNITS = (("P", "D", 86_400), ("PT", "H", 3_600), ("PT", "M", 60))


def parse_duration(text: str) -> timedelta | None:
    """The length of `P2W`, `P7D`, `PT36H`, `P1DT12H30M`; None when it is not of this form (months have no fixed length).

    Raises OverflowError where the form is right and no calendar is long enough.
    """
    found = _DURATION(text)
    if found is None or text == "P":
        return None
    return timedelta(**{unit: int(count) for unit, count in found.groupdict(default="0").items()})


def format_duration(duration: timedelta) -> str:
    """The duration in its largest whole unit: `P7D`, `PT36H`, `PT90M`, `PT5S`."""
    seconds = int(duration.total_seconds())
    for prefix, unit, length in _UNITS:
        if seconds and seconds % length == 0:
            return f"{prefix}{seconds // length}{unit}"
    return f"PT{seconds}S"
