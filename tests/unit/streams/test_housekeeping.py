"""Housekeeping: only after everything has been settled that could bear on what goes, and only by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from goalstream.errors import BrokerUnavailable, DatabaseUnavailable
from goalstream.streams.housekeeping import Housekeeper, Statistics, every_now_and_then
from tests.unit.streams.records import NOON

LATENESS, RETENTION = timedelta(hours=72), timedelta(days=730)


@dataclass
class FakeCleaner:
    """Writes down what it is asked to remove."""

    clock: datetime | None = NOON
    calls: list[tuple[str, datetime]] = field(default_factory=list)
    turns: int = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[datetime | None]:
        self.turns += 1
        yield self.clock

    async def delete_matches(self, recorded_before: datetime) -> int:
        self.calls.append(("matches", recorded_before))
        return 2

    async def remove_enrollments(self, ended_before: datetime) -> int:
        self.calls.append(("enrollments", ended_before))
        return 1

    async def delete_audit(self, before: datetime) -> int:
        self.calls.append(("audit", before))
        return 0

    async def delete_answers(self, clock: datetime) -> int:
        self.calls.append(("answers", clock))
        return 0

    async def delete_calls(self, clock: datetime) -> int:
        self.calls.append(("hook calls", clock))
        return 0

    async def delete_deliveries(self, clock: datetime) -> int:
        self.calls.append(("deliveries", clock))
        return 0

    async def delete_attempts(self, clock: datetime) -> int:
        self.calls.append(("attempts", clock))
        return 0


@dataclass
class FakeProgress:
    """The group is there when the test says so."""

    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[Exception] = field(default_factory=list)

    async def catch_up(self) -> None:
        if self.failures:
            raise self.failures.pop(0)
        await self.arrived.wait()


def housekeeper(cleaner: FakeCleaner, progress: FakeProgress) -> Housekeeper:
    return Housekeeper(cleaner, progress, allowed_lateness=LATENESS, retention=RETENTION)


async def test_nothing_goes_while_the_group_lags() -> None:
    cleaner, progress = FakeCleaner(), FakeProgress()
    cleaning = asyncio.create_task(housekeeper(cleaner, progress).clean())
    await asyncio.sleep(0.01)
    assert cleaner.calls == []
    progress.arrived.set()
    await cleaning
    assert cleaner.calls == [
        ("matches", NOON - timedelta(hours=144)),
        ("enrollments", NOON - RETENTION),
        ("audit", NOON - RETENTION),
        ("answers", NOON),
        ("hook calls", NOON),
        ("deliveries", NOON),
        ("attempts", NOON),
    ]


async def test_only_whoever_has_the_turn_cleans() -> None:
    cleaner, progress = FakeCleaner(clock=None), FakeProgress()
    await housekeeper(cleaner, progress).clean()
    assert cleaner.calls == []


@pytest.mark.parametrize("failure", [BrokerUnavailable("away"), ZeroDivisionError("a defect")])
async def test_what_a_broker_that_is_away_or_a_defect_leaves_undone_is_done_the_next_time(failure: Exception) -> None:
    cleaner, progress = FakeCleaner(), FakeProgress(failures=[failure])
    progress.arrived.set()
    job = housekeeper(cleaner, progress).clean
    cleaning = asyncio.create_task(
        every_now_and_then(job, every=timedelta(microseconds=1), failure="housekeeping_failed")
    )
    async with asyncio.timeout(2):
        while not cleaner.calls:  # noqa: ASYNC110 - a fake has no event to wait for
            await asyncio.sleep(0)
    cleaning.cancel()
    assert cleaner.turns >= 2


@dataclass
class FakeRollUp:
    """Is of a moment that another worker may have rolled up, and fails when the test says so."""

    moment: datetime | None = None
    failures: list[Exception] = field(default_factory=list)

    async def refresh(self) -> int | None:
        if self.failures:
            raise self.failures.pop()
        return None

    async def as_of(self) -> datetime | None:
        return self.moment


async def test_statistics_have_no_age_before_any_were_rolled_up() -> None:
    statistics = Statistics(FakeRollUp())
    assert statistics.age_seconds() == 0
    await statistics.refresh()
    assert statistics.age_seconds() == 0


async def test_statistics_are_as_old_as_whatever_worker_rolled_them_up() -> None:
    rollup = FakeRollUp(moment=datetime.now(UTC) - timedelta(minutes=5))
    statistics = Statistics(rollup)
    await statistics.refresh()
    assert 300 <= statistics.age_seconds() < 360
    rollup.moment = datetime.now(UTC)
    await statistics.refresh()
    assert statistics.age_seconds() < 60


async def test_a_worker_whose_roll_ups_all_fail_tells_how_old_statistics_are() -> None:
    rollup = FakeRollUp(moment=datetime.now(UTC) - timedelta(hours=1), failures=[DatabaseUnavailable("away")])
    statistics = Statistics(rollup)
    with pytest.raises(DatabaseUnavailable):
        await statistics.refresh()
    assert statistics.age_seconds() >= 3_600
