"""Fakes of what the stream talks to: storage, and the producer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from goalstream.domain.achievements import Change
from goalstream.domain.facts import Fact
from goalstream.domain.goals import GoalVersion
from goalstream.domain.messages import EncodedMessage
from goalstream.storage.outbox import Portion
from goalstream.streams.connection import Kafka
from goalstream.streams.producer import Outgoing, Producer
from tests.unit.streams.records import ACCOUNT, CONTACT, NOON


def message(number: int = 1, topic: str = "workflow.goal.achieved", traceparent: str | None = None) -> EncodedMessage:
    """A message with a number of its own."""
    return EncodedMessage(
        topic=topic,
        message_id=f"00000000-0000-4000-8000-{number:012}",
        account_id=ACCOUNT,
        subject=CONTACT,
        time=NOON,
        body="{}",
        traceparent=traceparent,
    )


@dataclass
class FakeSettled:
    """What a settlement wrote."""

    changes: list[Change] = field(default_factory=list)
    messages: list[EncodedMessage] = field(default_factory=list)


@dataclass
class FakeLedger:
    """Keeps what is stored; `refuses` is asked about every fact, and raises for what it refuses."""

    refuses: Callable[[Fact], None] = lambda fact: None
    failures: list[Exception] = field(default_factory=list)
    stored: list[Fact] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    messages: list[EncodedMessage] = field(default_factory=list)

    async def store(self, facts: Sequence[Fact]) -> None:
        self.calls.append("store")
        if self.failures:
            raise self.failures.pop(0)
        for fact in facts:
            self.refuses(fact)
        self.stored += facts

    async def settle(self, facts: Sequence[Fact]) -> FakeSettled:
        self.calls.append("settle")
        return FakeSettled(messages=list(self.messages))


@dataclass
class FakeChanges:
    """Goal versions, all of them or not, up to a clock."""

    clock: datetime
    last_change_id: int
    versions: list[GoalVersion]
    is_complete: bool


@dataclass
class FakeGoals:
    """A source of goals with a clock that a test moves, and portions of a size that it chooses."""

    clock: datetime = NOON
    portion: int = 1_000
    versions: list[GoalVersion] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def changes_since(self, change_id: int) -> FakeChanges:
        self.asked.append(change_id)
        if self.gate is not None:
            await self.gate.wait()
        new = self.versions[change_id : change_id + self.portion]
        return FakeChanges(self.clock, change_id + len(new), new, is_complete=len(new) < self.portion)


class FakeProducer(Producer):
    """Remembers what it sends; fails as long as it is told to."""

    def __init__(self) -> None:
        super().__init__(Kafka(bootstrap_servers="nowhere:9092"))
        self.sent: list[Outgoing] = []
        self.failures: list[Exception] = []

    async def send(self, records: Sequence[Outgoing]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.sent += records


@dataclass
class FakeDepth:
    """How full an outbox is."""

    messages: int
    age_seconds: float


@dataclass
class FakeOutbox:
    """An outbox in memory."""

    waiting: list[EncodedMessage] = field(default_factory=list)
    postponed: list[EncodedMessage] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    async def delete(self, messages: Sequence[EncodedMessage]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.waiting = [message for message in self.waiting if message not in messages]

    @asynccontextmanager
    async def due(self, limit: int) -> AsyncIterator[Portion]:
        due = self.waiting[:limit]
        portion = Portion(due, [message.time for message in due])
        yield portion
        await self.delete(portion.acknowledged)
        self.postponed += portion.too_large

    async def depth(self) -> FakeDepth:
        if self.failures:
            raise self.failures.pop(0)
        return FakeDepth(len(self.waiting), 12.5)


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, for two seconds at most."""
    async with asyncio.timeout(2):
        while not condition():  # noqa: ASYNC110 - any condition, not one that somebody sets
            await asyncio.sleep(0)
