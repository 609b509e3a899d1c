"""Nothing escapes an agent, and nothing is acknowledged before it is done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from goalstream.errors import TooManyDeadLetters
from goalstream.streams.agents import BATCHES_IN_FLIGHT, agent
from goalstream.streams.in_hand import InHand
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
    """Matches any batch at once; settles it when its gate is open; fails for what it is told to fail for."""

    def __init__(self, failures: dict[object, Exception], closed: Sequence[object] = ()) -> None:
        self.failures = failures
        self.gates = {batch: asyncio.Event() for batch in closed}
        self.steps: list[tuple[str, object]] = []

    async def match(self, topic: str, batch: Any) -> InHand:
        self.steps.append(("match", batch))
        return InHand(topic, batch)

    async def settle(self, hand: InHand) -> None:
        if hand.batch in self.gates:
            await self.gates[hand.batch].wait()
        self.steps.append(("settle", hand.batch))

    async def finish(self, hand: InHand) -> None:
        if hand.batch in self.failures:
            raise self.failures[hand.batch]
        self.steps.append(("finish", hand.batch))


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


async def test_batches_are_settled_at_once_and_finished_in_their_order() -> None:
    events = [FakeEvent(number) for number in range(10)]
    processor = FakeProcessor({}, closed=[0])
    given: Any = processor
    task = asyncio.ensure_future(agent("topic", given, _never)(FakeStream(events)))
    await until(lambda: ("settle", BATCHES_IN_FLIGHT) in processor.steps)
    await asyncio.sleep(0)
    assert not any(event.acked for event in events)
    assert ("match", BATCHES_IN_FLIGHT + 1) not in processor.steps
    processor.gates[0].set()
    await task
    assert all(event.acked for event in events)
    assert [batch for step, batch in processor.steps if step == "finish"] == list(range(10))


async def test_an_agent_that_is_cancelled_leaves_no_settlement_behind() -> None:
    processor = FakeProcessor({}, closed=[0, 1])
    given: Any = processor
    task = asyncio.ensure_future(agent("topic", given, _never)(FakeStream([FakeEvent(0), FakeEvent(1)])))
    await until(lambda: ("match", 1) in processor.steps)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(asyncio.all_tasks()) == 1


def _never(error: Exception) -> None:
    raise AssertionError(error)
