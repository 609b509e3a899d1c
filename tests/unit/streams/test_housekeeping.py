"""Housekeeping: only after everything has been settled that could bear on what goes, and only by one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from goalstream.errors import BrokerUnavailable
from goalstream.streams.housekeeping import Housekeeper, every_now_and_then
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
