"""Nothing escapes an agent, and nothing is acknowledged before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from goalstream.errors import TooManyDeadLetters
from goalstream.streams.agents import agent
from tests.unit.streams.fakes import until


class FakeEvent:
    """A Faust event that remembers its acknowledgement."""

    def __init__(self, value: object) -> None:
        self.value = value
        self.acked = False

    def ack(self) -> None:
        self.acked = True


class FakeStream:
    """A Faust stream of given events."""

    enable_acks = True

    def __init__(self, events: list[FakeEvent]) -> None:
        self._events = events

    async def events(self) -> AsyncIterator[FakeEvent]:
        for event in self._events:
            yield event


class FakeProcessor:
    """Fails for the values it is told to fail for."""

    def __init__(self, failures: dict[object, Exception]) -> None:
        self.failures = failures
        self.processed: list[object] = []

    async def process(self, topic: str, batch: object) -> None:
        if batch in self.failures:
            raise self.failures[batch]
        self.processed.append(batch)


async def run(failures: dict[object, Exception]) -> tuple[list[FakeEvent], list[Exception], FakeStream]:
    events, fatal = [FakeEvent(1), FakeEvent(2), FakeEvent(3)], list[Exception]()
    stream = FakeStream(events)
    processor: Any = FakeProcessor(failures)
    task = asyncio.ensure_future(agent("topic", processor, fatal.append)(stream))
    await until(lambda: task.done() or bool(fatal))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return events, fatal, stream


async def test_batches_are_acknowledged_by_the_agent_alone() -> None:
    events, fatal, stream = await run({})
    assert not stream.enable_acks
    assert [event.acked for event in events] == [True, True, True]
    assert fatal == []


async def test_after_a_failure_nothing_more_is_acknowledged() -> None:
    for failure in (TooManyDeadLetters("stop"), ZeroDivisionError("a bug")):
        events, fatal, _ = await run({2: failure})
        assert [event.acked for event in events] == [True, False, False]
        assert fatal == [failure]
