"""Secrets of webhooks and hooks: new ones, and for how long those of before hold beside them."""

from __future__ import annotations

import secrets
from datetime import timedelta

from goalstream.domain.signing import OVERLAP, make_secret
from goalstream.errors import Problem

SECRET_BYTES = 32

USUAL_OVERLAP_SECONDS = int(OVERLAP.total_seconds())
MOST_OVERLAP_SECONDS = 7 * 86_400


def new_secret() -> str:
    """A secret that nobody knows, as Standard Webhooks has them."""
    return make_secret(secrets.token_bytes(SECRET_BYTES))


def overlap_of(seconds: object, problems: list[Problem]) -> timedelta:
    """The time in a body's `overlap_seconds`; none, with a problem more, where it is no such number."""
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 <= seconds <= MOST_OVERLAP_SECONDS:
        return timedelta(seconds=seconds)
    problems.append(Problem("/overlap_seconds", f"must be a whole number from 0 to {MOST_OVERLAP_SECONDS}"))
    return timedelta()
