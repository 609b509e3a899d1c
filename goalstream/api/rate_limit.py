"""How many requests an account may send, by a token bucket for each: in this process alone, so each process allows as many."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

BUCKET_SECONDS = 60.0
"""After so long an empty bucket is full again, and so may be forgotten."""


class RateLimit:
    """Up to `per_minute` requests at once, and as many in every minute; 0: any number."""

    def __init__(self, per_minute: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """By account what is left, and when that was; the account that was asked last stands last."""

    def take(self, account_id: str) -> float:
        """Takes one request of an account; 0, or the seconds after which there is one to take."""
        if not self._per_minute:
            return 0.0
        now = self._clock()
        left, at = self._buckets.pop(account_id, (float(self._per_minute), now))
        each = BUCKET_SECONDS / self._per_minute
        left = min(left + (now - at) / each, float(self._per_minute))
        is_allowed = left >= 1
        self._buckets[account_id] = (left - 1 if is_allowed else left, now)
        self._forget_full(now)
        return 0.0 if is_allowed else (1 - left) * each

    def _forget_full(self, now: float) -> None:
        while self._buckets:
            account_id, (_, at) = next(iter(self._buckets.items()))
            if now - at < BUCKET_SECONDS:
                return
            del self._buckets[account_id]
