"""What is away is waited for in place, and is well again when nobody waits for it any more."""

from __future__ import annotations

import asyncio

import pytest

from goalstream.errors import BrokerUnavailable, DatabaseUnavailable, Unavailable
from goalstream.observability.health import Health
from goalstream.streams.failure import RetryInPlace
from tests.unit.streams.fakes import until


class Service:
    """Fails with `error` as long as there is one."""

    def __init__(self, error: Unavailable | None) -> None:
        self.error = error

    async def __call__(self) -> str:
        if self.error is not None:
            raise self.error
        return "done"


async def test_a_step_is_repeated_until_it_succeeds_and_says_meanwhile_why_not() -> None:
    health, service = Health(), Service(DatabaseUnavailable("away"))
    waiting = asyncio.create_task(RetryInPlace(health)("store", service))
    await until(lambda: health.reasons == {"database": "away"})
    service.error = BrokerUnavailable("no leader")
    await until(lambda: health.reasons == {"kafka": "no leader"})
    service.error = None
    assert await waiting == "done"
    assert health.reasons == {}


async def test_reading_that_works_again_does_not_hide_that_writing_does_not() -> None:
    health = Health()
    retry, writing, reading = (
        RetryInPlace(health),
        Service(DatabaseUnavailable("read-only")),
        Service(DatabaseUnavailable("gone")),
    )
    tasks = [asyncio.create_task(retry("store", writing)), asyncio.create_task(retry("goals", reading))]
    await until(lambda: "database" in health.reasons)
    reading.error = None
    assert await tasks[1] == "done"
    assert health.reasons == {"database": "read-only"}
    writing.error = None
    await tasks[0]
    assert health.reasons == {}


async def test_whoever_gives_up_waiting_does_not_leave_a_reason_behind() -> None:
    health = Health()
    waiting = asyncio.create_task(RetryInPlace(health)("store", Service(DatabaseUnavailable("away"))))
    await until(lambda: health.reasons == {"database": "away"})
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert health.reasons == {}
