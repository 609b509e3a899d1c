"""Findings: what a check of `goalstream doctor` comes to, in a sentence, and what a person should do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How things stand. A warning is for the next quiet hour; unknown is what could not be asked."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence, and advice where there is something to do."""

    verdict: Verdict
    sentence: str
    advice: str = ""


def ok(sentence: str) -> Finding:
    return Finding(Verdict.OK, sentence)


def warning(sentence: str, advice: str) -> Finding:
    return Finding(Verdict.WARNING, sentence, advice)


def wrong(sentence: str, advice: str) -> Finding:
    return Finding(Verdict.WRONG, sentence, advice)


def unknown(sentence: str, advice: str = "") -> Finding:
    return Finding(Verdict.UNKNOWN, sentence, advice)


def counted(number: int, noun: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def judge_clock(whose: str, ahead_seconds: float, uncertain_seconds: float) -> Finding:
    """A clock beside ours: `ahead_seconds` is known to `uncertain_seconds`, half the time that asking took."""
    distance = f"{abs(ahead_seconds):.3f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this machine's"
    sentence = f"{whose} is {distance} (known to {uncertain_seconds:.3f} s)"
    certain = abs(ahead_seconds) - uncertain_seconds
    if certain > CLOCK_WRONG_SECONDS:
        return wrong(sentence, CLOCK_ADVICE)
    if certain > CLOCK_WARNING_SECONDS:
        return warning(sentence, CLOCK_ADVICE)
    return ok(sentence)


CLOCK_WARNING_SECONDS = 1
CLOCK_WRONG_SECONDS = 5
"""A record whose timestamp is further ahead of the database's clock is judged by the goals then known."""

CLOCK_ADVICE = "synchronize both with the same time servers (NTP)"
