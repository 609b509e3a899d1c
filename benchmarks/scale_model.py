"""What a rate of events needs in workers and in PostgreSQL, computed from constants that were measured.

Nothing here is measured: the constants come from `benchmarks.scaling`, and the page says of every figure which it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DAY_SECONDS = 86_400

BUSY = 0.6
"""How busy a core may be on average: the rest is for bursts, for catching up, and for a neighbour that fails."""

SETTLEMENT_SECONDS = 0.015
"""Between two settlements of a worker at its busiest; what arrives meanwhile is settled together."""

MOST_TOGETHER = 500
"""Enrollments of a transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU of a settlement: a part that it has whatever is in it, and one for each achievement, in µs."""

    fixed_us: float
    each_us: float

    @classmethod
    def through(cls, few: tuple[int, float], many: tuple[int, float]) -> Cost:
        """The line through two measurements: how many were settled together, and what each of them cost."""
        (few_count, few_us), (many_count, many_us) = few, many
        fixed_us = (few_us - many_us) / (1 / few_count - 1 / many_count)
        return cls(fixed_us=fixed_us, each_us=many_us - fixed_us / many_count)

    def of_each(self, together: float) -> float:
        """µs for each of so many that are settled together."""
        return self.each_us + self.fixed_us / together


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What was measured on one machine; bytes are those of one achievement with everything that is written about it."""

    event_us: float
    python: Cost
    publish_us: float
    postgres: Cost
    wal_bytes: float
    disk_bytes: float
    event_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What comes in, and over how many partitions of each topic."""

    events_per_second: float
    match_share: float
    partitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What that takes. A worker is a process and uses one core; PostgreSQL's cores do nothing else."""

    workers: int
    settled_together: float
    worker_cores: float
    postgres_cores: float
    transactions_per_second: float
    wal_megabytes_per_second: float
    disk_gigabytes_per_day: float
    kafka_megabytes_per_second: float
    fits_partitions: bool


def needs(load: Load, constants: Constants) -> Needs:
    """The smallest number of workers none of which is busier than `BUSY`, and what PostgreSQL has to do for them."""
    achievements = load.events_per_second * load.match_share
    workers = 1
    while _worker_cores(load, constants, workers) > BUSY * workers:
        workers += 1
    together = _together(achievements / workers)
    settlements = achievements / together
    return Needs(
        workers=workers,
        settled_together=together,
        worker_cores=_worker_cores(load, constants, workers),
        postgres_cores=achievements * constants.postgres.of_each(together) / 1e6 / BUSY,
        transactions_per_second=2 * settlements,
        wal_megabytes_per_second=achievements * constants.wal_bytes / 1e6,
        disk_gigabytes_per_day=achievements * constants.disk_bytes * DAY_SECONDS / 1e9,
        kafka_megabytes_per_second=load.events_per_second * constants.event_bytes / 1e6,
        fits_partitions=workers <= load.partitions,
    )


def _together(achievements_per_second: float) -> float:
    """How many achievements of a worker are settled in one go."""
    return min(max(achievements_per_second * SETTLEMENT_SECONDS, 1), MOST_TOGETHER)


def _worker_cores(load: Load, constants: Constants, workers: int) -> float:
    achievements = load.events_per_second * load.match_share
    each_us = constants.python.of_each(_together(achievements / workers)) + constants.publish_us
    return (load.events_per_second * constants.event_us + achievements * each_us) / 1e6


def headroom(constants: Constants, postgres_cores: int, together: float) -> int:
    """Achievements a second that so many cores of one PostgreSQL can take, rounded down to hundreds."""
    return math.floor(postgres_cores * BUSY * 1e6 / constants.postgres.of_each(together) / 100) * 100
