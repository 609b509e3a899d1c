"""What the stream is given: Kafka's records, and storage. Every call of storage raises Unavailable while its service is
away, and may then be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from goalstream.domain.achievements import Change
from goalstream.domain.facts import Fact
from goalstream.domain.goals import GoalVersion
from goalstream.domain.messages import EncodedMessage

Headers = Sequence[tuple[str, bytes | None]]


class Record(Protocol):
    """What Kafka gives us; `timestamp` is in milliseconds since 1970. Its partition is that of the batch around it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class PlacedRecord(Record, Protocol):
    """A record that knows its topic and partition, as readers without a group get them."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...


Partition = tuple[str, int]
"""A topic's name and the number of a partition; Kafka's own named tuple is one."""

Batch = Mapping[Partition, Sequence[Record]]
"""The records of one poll, by partition, in the order of their offsets."""


class Settled(Protocol):
    """What a settlement wrote."""

    @property
    def changes(self) -> Sequence[Change]: ...
    @property
    def messages(self) -> Sequence[EncodedMessage]: ...


class Ledger(Protocol):
    """Facts, and what follows from them. Raises Refused for a fact that will never be accepted."""

    async def store(self, facts: Sequence[Fact]) -> None: ...
    async def settle(self, facts: Sequence[Fact]) -> Settled: ...


class GoalChanges(Protocol):
    """Goal versions accepted since a change; all of them up to the database's `clock`, if they are complete."""

    @property
    def clock(self) -> datetime: ...
    @property
    def last_change_id(self) -> int: ...
    @property
    def versions(self) -> Sequence[GoalVersion]: ...
    @property
    def is_complete(self) -> bool: ...


class GoalSource(Protocol):
    """Where goal versions come from, in portions that hold up the event loop for milliseconds."""

    async def changes_since(self, change_id: int) -> GoalChanges: ...


class Depth(Protocol):
    """How many messages are in the outbox, and how long the oldest has been there."""

    @property
    def messages(self) -> int: ...
    @property
    def age_seconds(self) -> float: ...


class Portion(Protocol):
    """Messages that are due; the sweeper says which were acknowledged, and which are too large for now."""

    messages: Sequence[EncodedMessage]
    since: Sequence[datetime]
    acknowledged: Sequence[EncodedMessage]
    too_large: Sequence[EncodedMessage]


class Outbox(Protocol):
    """Messages that are true and not yet published."""

    async def delete(self, messages: Sequence[EncodedMessage]) -> None: ...
    def due(self, limit: int) -> AbstractAsyncContextManager[Portion]: ...
    async def depth(self) -> Depth: ...


class Cleaner(Protocol):
    """Deletes what is old; each returns how many rows or enrollments went."""

    def turn(self) -> AbstractAsyncContextManager[datetime | None]: ...
    async def delete_matches(self, recorded_before: datetime) -> int: ...
    async def remove_enrollments(self, ended_before: datetime) -> int: ...
    async def delete_audit(self, before: datetime) -> int: ...
    async def delete_answers(self, clock: datetime) -> int: ...
    async def delete_calls(self, clock: datetime) -> int: ...
    async def delete_deliveries(self, clock: datetime) -> int: ...
    async def delete_attempts(self, clock: datetime) -> int: ...


class RollUp(Protocol):
    """What statistics of large workflows are read from."""

    async def refresh(self) -> int | None: ...
    async def as_of(self) -> datetime | None: ...


class Progress(Protocol):
    """How far the group of workers has read."""

    async def catch_up(self) -> None: ...
