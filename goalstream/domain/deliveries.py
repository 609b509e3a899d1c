"""Deliveries of messages to webhooks: what is sent, when it is tried again, and when an endpoint is left alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from goalstream.domain.times import format_time

PATIENCE = timedelta(hours=24)
"""After the first attempt; what would be tried later than that is parked."""

FIRST_DELAY_SECONDS, DELAY_FACTOR, LONGEST_DELAY_SECONDS = 5.0, 3.0, 6 * 3600.0

JITTER = 0.2
"""Share by which a delay may be shorter or longer: what failed together is not tried together."""

FAILURES_TO_OPEN = 5
"""In a row; then the circuit opens, and the endpoint is left alone for a while."""

FIRST_OPEN_SECONDS, LONGEST_OPEN_SECONDS = 30.0, 1800.0

GONE = 410
"""The status by which an endpoint says that it will never take anything again."""


def envelope(topic: str, occurred_at: datetime, data: str) -> bytes:
    """The body of a request, as Standard Webhooks recommends it; `data`: the message's document as Kafka has it, JSON."""
    return f'{{"type":"{topic}","timestamp":"{format_time(occurred_at)}","data":{data}}}'.encode()


def is_delivered(status: int | None) -> bool:
    """Whether an answer with this status, or none, means that the endpoint has taken a message. Redirects do not."""
    return status is not None and 200 <= status < 300


def delay_seconds(attempts: int, *, chance: float, retry_after_seconds: float | None = None) -> float:
    """How long after its failure the next attempt comes; `attempts`: 1 or more so far; `chance`: from 0 to 1, at random.

    Not before what the endpoint asks for (`Retry-After`), up to the longest delay.
    """
    usual = min(FIRST_DELAY_SECONDS * DELAY_FACTOR ** min(attempts - 1, 16), LONGEST_DELAY_SECONDS)
    wanted = min(retry_after_seconds or 0.0, LONGEST_DELAY_SECONDS)
    return max(usual * (1 - JITTER + 2 * JITTER * chance), wanted * (1 + JITTER * chance))


def open_seconds(failures_in_a_row: int) -> float | None:
    """For how long an endpoint is left alone after so many failures in a row; None while its circuit stays closed."""
    if failures_in_a_row < FAILURES_TO_OPEN:
        return None
    doublings = min(failures_in_a_row - FAILURES_TO_OPEN, 16)
    return min(FIRST_OPEN_SECONDS * 2.0**doublings, LONGEST_OPEN_SECONDS)


def is_on_trial(failures_in_a_row: int) -> bool:
    """Whether an endpoint whose circuit was open gets one message first, to show that it is well again."""
    return failures_in_a_row >= FAILURES_TO_OPEN
