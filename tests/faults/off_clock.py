"""Processes whose clock is off, by libfaketime; the clock that only measures how long something takes stays right."""

from __future__ import annotations

from glob import glob

NOT_INSTALLED = "libfaketime is not installed: `apt-get install faketime`"


def clock_off_by(hours: int) -> dict[str, str]:
    """The environment of such a process. Raises RuntimeError where the library is missing."""
    found = sorted(glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob("/usr/local/lib/faketime/libfaketimeMT.so.1"))
    if not found:
        raise RuntimeError(NOT_INSTALLED)
    return {"LD_PRELOAD": found[0], "FAKETIME": f"{hours:+d}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
