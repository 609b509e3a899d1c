"""What a load needs, by the model of the scaling page."""

from __future__ import annotations

import pytest

from benchmarks.scale_model import BUSY, Constants, Cost, Load, headroom, needs

CONSTANTS = Constants(
    event_us=4,
    python=Cost(fixed_us=2_000, each_us=80),
    publish_us=40,
    postgres=Cost(fixed_us=2_000, each_us=80),
    wal_bytes=5_000,
    disk_bytes=4_000,
    event_bytes=300,
)


def load(events_per_second: float, match_share: float = 0.01, partitions: int = 100) -> Load:
    return Load(events_per_second=events_per_second, match_share=match_share, partitions=partitions)


def test_two_measurements_tell_fixed_costs_from_others() -> None:
    cost = Cost.through((20, 180), (500, 84))
    assert (cost.fixed_us, cost.each_us) == pytest.approx((2_000, 80))
    assert cost.of_each(100) == pytest.approx(100)


def test_one_worker_reads_as_much_as_its_core_may_be_busy() -> None:
    most = BUSY * 1e6 / CONSTANTS.event_us
    assert needs(load(most, 0), CONSTANTS).workers == 1
    assert needs(load(most + 1, 0), CONSTANTS).workers == 2


def test_the_busier_a_worker_is_the_more_is_settled_together_and_never_more_than_a_transaction_holds() -> None:
    few, many, most = (needs(load(rate, 1), CONSTANTS) for rate in (10, 1_000, 2_000_000))
    assert few.settled_together == 1
    assert few.settled_together < many.settled_together < most.settled_together <= 500


def test_what_is_written_follows_from_the_achievements() -> None:
    need = needs(load(10_000), CONSTANTS)
    assert need.wal_megabytes_per_second == pytest.approx(0.5)
    assert need.disk_gigabytes_per_day == pytest.approx(100 * 4_000 * 86_400 / 1e9)
    assert need.kafka_megabytes_per_second == pytest.approx(3)


def test_more_workers_than_partitions_do_not_fit() -> None:
    assert needs(load(200_000, 0, partitions=2), CONSTANTS).fits_partitions
    assert not needs(load(900_000, 0, partitions=2), CONSTANTS).fits_partitions


def test_one_postgresql_takes_so_much() -> None:
    assert headroom(CONSTANTS, 1, 100) == 6_000
