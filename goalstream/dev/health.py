"""How a run goes, in numbers. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from goalstream.dev.narrator import Kind

RATE_SECONDS = 5.0
"""Events per second are told of the last ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`p50_ms` and `p99_ms`: from an event's record to its achievement's message; None before the first one."""

    events_per_second: float
    p50_ms: int | None
    p99_ms: int | None
    lag_records: int
    dead_letters: int
    achieved: int
    exits: int
    duplicates: int
    trouble: str = ""

    def words(self) -> list[str]:
        """What it says, the most important first."""
        latency = "p50 unknown" if self.p50_ms is None else f"p50 {self.p50_ms} ms, p99 {self.p99_ms} ms"
        return [
            f"{self.events_per_second:.0f} events/s",
            latency,
            f"lag {self.lag_records}",
            f"{self.dead_letters:,} dead letters",
            f"{self.achieved:,} achieved",
            f"{self.exits:,} exits",
            f"{self.duplicates:,} duplicates",
        ]


class Pulse:
    """Takes the number of events every now and then, and tells the rate at which it grew lately."""

    def __init__(self) -> None:
        self._beats: deque[tuple[float, int]] = deque()

    def beat(self, now: float, events: int) -> float:
        """Events per second over the last seconds; `now` is in seconds, of any clock that never goes back."""
        self._beats.append((now, events))
        while len(self._beats) > 2 and self._beats[1][0] <= now - RATE_SECONDS:
            self._beats.popleft()
        (since, before) = self._beats[0]
        return (events - before) / (now - since) if now > since else 0.0


def health_of(
    counts: Counter[str], latencies_ms: Iterable[int], *, events_per_second: float, lag_records: int, trouble: str
) -> Health:
    """Everything together; `trouble` becomes one line."""
    ordered = sorted(latencies_ms)
    return Health(
        events_per_second=events_per_second,
        p50_ms=percentile(ordered, 50),
        p99_ms=percentile(ordered, 99),
        lag_records=lag_records,
        dead_letters=counts[Kind.DEAD_LETTER],
        achieved=counts[Kind.ACHIEVED],
        exits=counts[Kind.EXIT],
        duplicates=counts[Kind.DUPLICATE],
        trouble=" ".join(trouble.split()),
    )


def percentile(ordered: list[int], percent: int) -> int | None:
    """The smallest of the values that so many percent of them do not exceed; None of no values."""
    return ordered[(len(ordered) * percent + 99) // 100 - 1] if ordered else None
